"""The embedded engine: pocketsphinx with its US English model, in worker processes.

It needs no account, no download and no GPU, and is for demonstrations: every third word of ordinary
speech is wrong, and more over the telephone or in a meeting. Captions have neither punctuation nor
capitals.

Measured on two cores that others used too, over 12 real recordings (59 seconds). The
delays are audio time plus processor time, as on an idle core:

    word error rate                 .304 streamed, .304 with each segment decoded in one go
    processor time                  0.18 to 0.28 seconds per second of audio
    first partial after the onset    0.43 s in the median, 0.7 s at most
    final after the last word       0.67 s in the median, 1.2 s at most; 0.5 s are the hang-over
    a worker, from fork to ready    7 ms
    memory                          32 MB for each busy worker, 65 MB shared by all

A `second_pass` brings the word error rate to .270, which is within chance of .304 with so few
words, and the final 0.8 s later in the median; so it is off.
"""

from __future__ import annotations

from speech.engines.base import Capabilities, Policy
from speech.engines.blocking import DETECTOR_LEAD_IN, ModelSpec
from speech.engines.names import EMBEDDED_LANGUAGES
from speech.engines.workers import WorkerEngine


class PocketsphinxEngine(WorkerEngine):
    """Recognises US English.

    Args:
        slots: the most streams at once.
        spare: idle workers kept ready.
        niceness: added to the scheduling priority of workers.
        second_pass: decode each segment again as a whole when it ends.
        partial_interval: seconds of audio between two partials.
        policy: the limits of its recognitions.
    """

    def __init__(
        self,
        *,
        slots: int,
        spare: int = 2,
        niceness: int = 5,
        second_pass: bool = False,
        partial_interval: float = 0.15,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(
            "pocketsphinx",
            ModelSpec(
                "speech.engines.pocketsphinx_model:load",
                {"second_pass": second_pass, "partial_interval": partial_interval},
            ),
            slots=slots,
            capabilities=Capabilities(
                languages=EMBEDDED_LANGUAGES["pocketsphinx"], punctuation=False
            ),
            policy=policy,
            spare=spare,
            niceness=niceness,
            lead_in=DETECTOR_LEAD_IN,
        )
