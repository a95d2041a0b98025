"""Runs a Moonshine model with onnxruntime: audio in, tokens with their probabilities out.

The encoder turns the audio into features; the decoder then chooses one token a step, always the
most probable one, until it ends the text. Inputs and outputs have the names of the models' export
by Hugging Face Optimum ("merged" decoder with a cache): `past_key_values.N.decoder.key` and so on
go in, `present.N.decoder.key` come out. The sizes of the cache are read from the model.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Since 1.32 its import starts a thread that reports the use of models to Microsoft, and keeps a
# database in the user's cache. Nothing else prevents it: `disable_telemetry_events` comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

from speech.engines.moonshine.files import ModelFiles, damaged
from speech.engines.moonshine.guards import count_loop
from speech.pcm import SAMPLE_RATE

Samples = npt.NDArray[np.float32]

_START: Final = 1
_END: Final = 2
#: Tokens a second of fast speech: the bound of a text. At 6.5, which the model's authors advise,
#: speech at 1.6 times its tempo loses its end.
_TOKENS_PER_SECOND: Final = 13
#: The encoder has no frame for less than 895 samples; a word takes longer.
_SHORTEST: Final = 1_600


@dataclass(frozen=True, slots=True)
class Guess:
    """The tokens of a text, and the probability of each, between 0 and 1."""

    tokens: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()


class MoonshineNetworks:
    """The two networks, each with one thread. A call blocks and releases the GIL.

    Raises:
        EngineUnavailable: a file is not a model of this kind.
    """

    def __init__(self, files: ModelFiles) -> None:
        self._encoder = _session(files.encoder)
        self._decoder = _session(files.decoder)
        if "input_values" not in {each.name for each in self._encoder.get_inputs()}:
            raise damaged(files.encoder, "it takes no audio")
        inputs = {each.name: each for each in self._decoder.get_inputs()}
        outputs = {each.name: each for each in self._decoder.get_outputs()}
        self._outputs = list(outputs)
        past = {name: each.shape for name, each in inputs.items() if name.startswith("past")}
        if not past or "logits" not in self._outputs:
            raise damaged(files.decoder, "it is not a merged decoder with a cache")
        size = outputs["logits"].shape[-1]
        #: How many tokens there are; 0 where the model does not say.
        self.tokens = size if isinstance(size, int) else 0
        # The batch is 1, and nothing is cached yet.
        self._empty_cache = {
            name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in past.items()
        }
        self._masks_audio = "encoder_attention_mask" in inputs

    def transcribe(self, samples: Samples) -> Guess:
        """Return the text of one piece of speech, at most 30 s: longer ones make the model loop.

        Args:
            samples: 16 kHz, mono, from -1 to 1; shape (n,).
        """
        if len(samples) < _SHORTEST:
            return Guess()
        audio = samples[np.newaxis]
        mask = np.ones(audio.shape, np.int64)
        [features] = self._encoder.run(None, {"input_values": audio, "attention_mask": mask})
        inputs: dict[str, Any] = {"encoder_hidden_states": features, **self._empty_cache}
        if self._masks_audio:
            inputs["encoder_attention_mask"] = mask
        tokens: list[int] = []
        probabilities: list[float] = []
        last = _START
        seconds = len(samples) / SAMPLE_RATE
        for step in range(math.ceil(seconds * _TOKENS_PER_SECOND)):
            inputs["input_ids"] = np.array([[last]], np.int64)
            inputs["use_cache_branch"] = np.array([step > 0])
            results = dict(zip(self._outputs, self._decoder.run(None, inputs), strict=True))
            scores = results.pop("logits")[0, -1]
            best = int(scores.argmax())
            if best == _END:
                break
            tokens.append(best)
            probabilities.append(float(1 / np.exp(scores - scores[best]).sum()))
            if repeated := count_loop(tokens, seconds):
                del tokens[-repeated:], probabilities[-repeated:]
                break
            for name, value in results.items():
                # The features' part of the cache is computed by the first step alone.
                if step == 0 or ".decoder." in name:
                    inputs[name.replace("present", "past_key_values")] = value
            last = best
        return Guess(tuple(tokens), tuple(probabilities))


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # The arena would keep the largest activations in each worker.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise damaged(path, error) from error
