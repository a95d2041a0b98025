from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speech.engines.errors import EngineUnavailable
from speech.engines.moonshine.vocabulary import (
    RecognisedWord,
    Vocabulary,
    parse,
    strip_punctuation,
)

pytestmark = pytest.mark.unit

START = "\u2581"
TOKENS = [
    *(b"<unk>", b"<s>", b"</s>", b"<<ST_7>>"),
    *(
        piece.encode()
        for piece in (f"{START}Hello", f"{START}wor", "ld", ",", "!", f"{START}don't")
    ),
    b"\xe2\x82",  # two thirds of a euro sign
    b"\xac",
    f"{START}\u2014".encode(),
]
HELLO, WOR, LD, COMMA, MARK, DONT, EURO, SIGN, DASH = range(4, 13)
VOCABULARY = Vocabulary(TOKENS)


def encoded(tokens: list[bytes]) -> bytes:
    return b"".join(
        bytes([len(each)] if len(each) < 128 else [len(each) % 128 + 128, len(each) // 128]) + each
        for each in tokens
    )


@given(st.lists(st.binary(max_size=300)))
def test_a_vocabulary_reads_back(tokens: list[bytes]) -> None:
    assert parse(encoded(tokens)) == tokens


@given(st.binary(max_size=60))
def test_other_bytes_are_tokens_or_refused(data: bytes) -> None:
    try:
        tokens = parse(data)
    except ValueError:
        return
    assert sum(map(len, tokens)) < max(1, len(data))


@pytest.mark.parametrize(
    ("data", "size", "cause"),
    [
        (encoded(TOKENS)[:-1], 13, "ends within a token"),
        (b"", 13, "0 tokens, and the decoder 13"),
        (encoded(TOKENS), 14, "13 tokens, and the decoder 14"),
    ],
    ids=["cut", "empty", "short"],
)
def test_a_damaged_file_is_refused_by_its_name(
    tmp_path: Path, data: bytes, size: int, cause: str
) -> None:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(data)

    with pytest.raises(EngineUnavailable, match=rf"tokenizer\.bin is damaged .*{cause}.* again"):
        Vocabulary.load(path, size)


def test_punctuation_is_in_the_text_and_in_no_word() -> None:
    tokens = [HELLO, COMMA, WOR, LD, MARK]

    assert VOCABULARY.text(tokens) == "Hello, world!"
    assert VOCABULARY.words(tokens, [0.9, 0.1, 0.8, 0.7, 0.2]) == [
        RecognisedWord("Hello", 0.9),
        RecognisedWord("world", 0.7),
    ]


def test_an_apostrophe_within_a_word_stays() -> None:
    assert VOCABULARY.words([DONT], [0.5]) == [RecognisedWord("don't", 0.5)]


def test_what_is_no_word_is_none() -> None:
    assert VOCABULARY.words([3, 0, DASH], [1.0, 1.0, 1.0]) == []
    assert VOCABULARY.text([3, 0]) == ""


def test_a_character_in_two_tokens_is_one() -> None:
    assert VOCABULARY.text([HELLO, EURO, SIGN]) == "Hello\u20ac"
    assert VOCABULARY.text([HELLO, EURO]) == "Hello"


@example([COMMA, COMMA, COMMA])
@example([HELLO, COMMA, COMMA, SIGN])
@given(st.lists(st.integers(0, len(TOKENS) - 1)))
def test_the_words_are_those_of_the_text(tokens: list[int]) -> None:
    words = [word.text for word in VOCABULARY.words(tokens, [0.5] * len(tokens))]

    assert words == [
        word for word in map(strip_punctuation, VOCABULARY.text(tokens).split()) if word
    ]
