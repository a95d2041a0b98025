"""Recognition without processes and without the service, to compare with."""

from __future__ import annotations

from speech.engines.base import RecognitionOptions, Result
from speech.engines.blocking import BlockingModel
from speech.engines.names import EngineName


def load_model(name: EngineName) -> BlockingModel:
    """Load the model of an embedded engine in this process."""
    if name == "moonshine":
        from speech.engines.moonshine import recogniser  # noqa: PLC0415 - may not be installed

        return recogniser.load()
    from speech.engines import pocketsphinx_model  # noqa: PLC0415 - holds a model

    return pocketsphinx_model.load()


def recognise_directly(pcm: bytes, model: BlockingModel) -> list[Result]:
    """Return the finals of a whole recording (16 kHz, mono, s16le)."""
    recogniser = model.open(RecognitionOptions())
    events = [*recogniser.accept(pcm), *recogniser.finish()]
    return [
        event for event in events if isinstance(event, Result) and event.is_final and event.text
    ]
