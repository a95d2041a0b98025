"""What Amazon Transcribe takes as a vocabulary or a filter."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.vocabularies import (
    MAX_BYTES,
    MAX_CHARACTERS,
    WrongEntries,
    parse_filter,
    parse_vocabulary,
    unsupported,
)

pytestmark = pytest.mark.unit


def test_a_list_has_a_phrase_a_line() -> None:
    found = parse_vocabulary("\ufeffAda-Lovelace\r\n\nD.B.\nAda-Lovelace\n".encode())

    assert found.phrases == ("Ada-Lovelace", "D.B.")
    assert not found.is_table


@pytest.mark.parametrize(
    "table",
    [
        "Phrase\tDisplayAs\nLos-Angeles\tLos Angeles\nD.B.\t\n",
        "IPA\tPhrase\tSoundsLike\tDisplayAs\n\tLos-Angeles\t\tL.A.\n\tD.B.\t\tDB 2",
        "Phrase\nLos-Angeles\nD.B.",
    ],
)
def test_a_table_sets_how_phrases_are_written(table: str) -> None:
    found = parse_vocabulary(table.encode())

    assert found.phrases == ("Los-Angeles", "D.B.")
    assert found.is_table


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("fine\nLos Angeles", "line 2: spaces.*Los-Angeles"),
        ("VX02", "line 1: digits"),
        ("a" * (MAX_CHARACTERS + 1), "line 1: longer than 256"),
        ("a\x07", "line 1: control character U\\+0007"),
        ("Phrase\tDisplay\nx\ty", "line 1: the header"),
        ("Phrase\tPhrase\nx\ty", "line 1: the header"),
        ("Phrase\tDisplayAs\nx", "line 2: 1 columns instead of 2"),
        ("Phrase\tDisplayAs\n\tx", "line 2: the phrase is missing"),
        ("Phrase\tDisplayAs\nx\t" + "y" * 257, "line 2: DisplayAs"),
        ("Phrase\tDisplayAs\n", "no entry"),
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("a\n" * MAX_BYTES, "at most 51,200"),
    ],
)
def test_wrong_vocabularies_name_the_line(content: str, words: str) -> None:
    with pytest.raises(WrongEntries, match=words):
        parse_vocabulary(content.encode())


def test_other_encodings_are_refused() -> None:
    with pytest.raises(WrongEntries, match="line 2: not UTF-8"):
        parse_vocabulary("a\né".encode("latin-1"))


def test_a_filter_has_a_word_a_line() -> None:
    assert parse_filter(b"damn\ndarn\n").phrases == ("damn", "darn")
    with pytest.raises(WrongEntries, match=r"line 2: .*single word"):
        parse_filter(b"damn\ntwo words\n")


@pytest.mark.parametrize(
    "word", ["Zürich", "O'Brien", "北京", "ไทย", "A.B.C.-s", "\u0645\u06cc\u200c\u062e\u0648"]
)
def test_letters_of_every_script_are_supported(word: str) -> None:
    assert unsupported(word) is None


def test_signs_are_not() -> None:
    assert unsupported("C++") == "+"


@given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_any_file_is_read_or_refused_by_name(content: bytes) -> None:
    for parse in (parse_vocabulary, parse_filter):
        with contextlib.suppress(WrongEntries):
            assert parse(content).phrases
