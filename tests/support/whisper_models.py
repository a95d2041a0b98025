"""Whisper models of chosen weights: real CTranslate2 models that output a given text.

All weights of a decoder layer are zero but for cross-attention, so what comes out at a step
depends on the step alone: the position's encoding is the output row of the token that is to come.
The encoder's positions are the same vectors, each for the time of its token, so that
cross-attention lies on a diagonal, and word times come out as they would of a trained model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 64
HEADS = 2
MELS = 80
TEXT_POSITIONS = 448
#: Of the encoder, in the 30 seconds that it sees.
AUDIO_POSITIONS = 1500
POSITIONS_PER_SECOND = 50
#: Timestamps are tokens, one for each 20 ms.
STAMPS = 1501

SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|notimestamps|>",
)


@dataclass(frozen=True, slots=True)
class Line:
    """What is spoken from `start` to `end`, in seconds of the recording's first half minute."""

    start: float
    end: float
    text: str


LINES = (
    Line(0.0, 4.0, "And so my fellow Americans, ask not"),
    Line(4.0, 9.0, "what your country can do for you."),
)


def whisper_model(folder: Path, lines: Sequence[Line] = LINES, *, timestamps: bool = True) -> Path:
    """Write a model that outputs `lines`, whatever its input; return its folder.

    Without `timestamps` it is for callers which ask for none, such as WhisperX, and outputs no
    times.
    """
    from ctranslate2.specs import whisper_spec  # noqa: PLC0415 - with all that it brings

    tokenizer = _tokenizer([line.text for line in lines])
    script = _script(tokenizer, lines, timestamps=timestamps)
    size = tokenizer.get_vocab_size()
    random = np.random.default_rng(0)
    rows = random.normal(size=(size, WIDTH))
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    first = 0 if timestamps else 1  # the last token of the prompt
    steps = np.tile(rows[tokenizer.token_to_id("<|endoftext|>")], (TEXT_POSITIONS, 1))
    steps[first : first + len(script)] = rows[script]
    spoken = round(lines[-1].end * POSITIONS_PER_SECOND)
    times = np.zeros((AUDIO_POSITIONS, WIDTH))
    times[:spoken] = rows[[script[at * len(script) // spoken] for at in range(spoken)]]

    spec = whisper_spec.WhisperSpec(1, HEADS, 2, HEADS)
    _fill_encoder(spec.encoder, times)
    _fill_decoder(spec.decoder, steps, rows)
    spec.register_vocabulary([tokenizer.id_to_token(each) for each in range(size)])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [tokenizer.token_to_id("<|en|>")]
    spec.config.alignment_heads = [[1, head] for head in range(HEADS)]
    spec.validate()
    spec.optimize()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    features = {"feature_size": MELS, "sampling_rate": 16_000, "hop_length": 160, "n_fft": 400}
    (folder / "preprocessor_config.json").write_text(json.dumps(features | {"chunk_length": 30}))
    return folder


def _tokenizer(texts: list[str]) -> Any:
    from tokenizers import (  # noqa: PLC0415 - only where models are made
        AddedToken,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [f" {text}" for text in texts] * 3,
        trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in SPECIAL])
    stamps = [f"<|{index * 0.02:.2f}|>" for index in range(STAMPS)]
    tokenizer.add_tokens([AddedToken(each, special=False, normalized=False) for each in stamps])
    return tokenizer


def _script(tokenizer: Any, lines: Sequence[Line], *, timestamps: bool) -> list[int]:
    tokens: list[int] = []
    for line in lines:
        text = tokenizer.encode(f" {line.text}", add_special_tokens=False).ids
        stamps = [tokenizer.token_to_id(f"<|{time:.2f}|>") for time in (line.start, line.end)]
        tokens += [stamps[0], *text, stamps[1]] if timestamps else text
    return tokens


def _zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def _norm(spec: Any) -> None:
    spec.gamma = np.ones(WIDTH, np.float32)
    spec.beta = _zeros(WIDTH)


def _linear(spec: Any, out: int, into: int, weight: Any = None) -> None:
    spec.weight = _zeros(out, into) if weight is None else weight.astype(np.float32)
    spec.bias = _zeros(out)


def _feed_forward(spec: Any) -> None:
    _norm(spec.layer_norm)
    _linear(spec.linear_0, 2 * WIDTH, WIDTH)
    _linear(spec.linear_1, WIDTH, 2 * WIDTH)


def _self_attention(spec: Any) -> None:
    _norm(spec.layer_norm)
    _linear(spec.linear[0], 3 * WIDTH, WIDTH)
    _linear(spec.linear[1], WIDTH, WIDTH)


def _fill_encoder(encoder: Any, times: Any) -> None:
    """Make an encoder that does not listen."""
    encoder.conv1.weight, encoder.conv1.bias = _zeros(WIDTH, MELS, 3), _zeros(WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = _zeros(WIDTH, WIDTH, 3), _zeros(WIDTH)
    encoder.position_encodings.encodings = times.astype(np.float32)
    _norm(encoder.layer_norm)
    for layer in encoder.layer:
        _self_attention(layer.self_attention)
        _feed_forward(layer.ffn)


def _fill_decoder(decoder: Any, steps: Any, rows: Any) -> None:
    """Make a decoder that outputs the given text, and attends to where it is spoken."""
    same = np.eye(WIDTH)
    decoder.embeddings.weight = _zeros(len(rows), WIDTH)
    decoder.position_encodings.encodings = steps.astype(np.float32)
    decoder.projection.weight = (20 * rows).astype(np.float32)
    _norm(decoder.layer_norm)
    for layer in decoder.layer:
        _self_attention(layer.self_attention)
        _norm(layer.attention.layer_norm)
        _linear(layer.attention.linear[0], WIDTH, WIDTH, 3 * same)
        _linear(
            layer.attention.linear[1], 2 * WIDTH, WIDTH, np.vstack([same, _zeros(WIDTH, WIDTH)])
        )
        _linear(layer.attention.linear[2], WIDTH, WIDTH)
        _feed_forward(layer.ffn)
