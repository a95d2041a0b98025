"""Recognition without processes and without the service, to compare with."""

from __future__ import annotations

from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import BlockingModel


def recognise_directly(pcm: bytes, model: BlockingModel) -> list[Result]:
    """Return the finals of a whole recording (16 kHz, mono, s16le)."""
    recogniser = model.open(RecognitionOptions())
    events = [*recogniser.accept(pcm), *recogniser.finish()]
    return [event for event in events if isinstance(event, Result) and event.is_final]
