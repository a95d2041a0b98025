"""The embedded engine: Moonshine's tiny English model, from the package `moonshine-voice`.

It needs no account, no download and no GPU. Captions have punctuation and capitals.
"""

from __future__ import annotations

from speech.engines.base import Capabilities, Policy
from speech.engines.blocking import DETECTOR_LEAD_IN, ModelSpec
from speech.engines.moonshine.files import find_model
from speech.engines.names import EMBEDDED_LANGUAGES
from speech.engines.workers import WorkerEngine


class MoonshineEngine(WorkerEngine):
    """Recognises English, whichever of its variants a stream names.

    Args:
        slots: the most streams at once.
        folder: of another model's files; by default, of the installed package.
        spare: idle workers kept ready.
        niceness: added to the scheduling priority of workers.
        partial_interval: seconds of audio between two partials, at least.
        policy: the limits of its recognitions.

    Raises:
        EngineUnavailable: the model is not installed, or not in `folder`.
    """

    def __init__(
        self,
        *,
        slots: int,
        folder: str | None = None,
        spare: int = 2,
        niceness: int = 5,
        partial_interval: float = 0.5,
        policy: Policy | None = None,
    ) -> None:
        find_model(folder)
        super().__init__(
            "moonshine",
            ModelSpec(
                "speech.engines.moonshine.recogniser:load",
                {"folder": folder, "partial_interval": partial_interval},
            ),
            slots=slots,
            capabilities=Capabilities(languages=EMBEDDED_LANGUAGES["moonshine"], stable_words=True),
            policy=policy,
            spare=spare,
            niceness=niceness,
            lead_in=DETECTOR_LEAD_IN,
        )
