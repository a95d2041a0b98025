from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.cli.output import json_line, printable, printable_lines, safe_json

pytestmark = pytest.mark.unit

TEXTS = st.text(
    st.characters() | st.sampled_from("\x1b\x9b\x7f\u202e\udcff\ud83d\n\u00a0\u202f\u200d")
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 👩\u200d🚀", "plain é 日本 👩\u200d🚀"),
        ("c'est\u202fbeau\u00a0!", "c'est\u202fbeau\u00a0!"),  # French spaces are no commands
        ("\x1b[2J", r"\x1b[2J"),
        ("two\nlines", r"two\x0alines"),
        ("b\udcff.wav", r"b\xff.wav"),  # a file's name in Latin-1
        ("\u202egpj.exe", r"\u202egpj.exe"),
    ],
)
def test_a_line_shows_what_a_terminal_would_obey(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(TEXTS)
def test_nothing_that_is_printed_commands_a_terminal(text: str) -> None:
    for shown in (printable(text), json_line({"text": text}), *printable_lines(text).split("\n")):
        shown.encode()
        assert not {unicodedata.category(each) for each in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert "\N{REPLACEMENT CHARACTER}" not in printable(text.replace("\ufffd", ""))


@given(TEXTS)
def test_json_keeps_its_meaning(text: str) -> None:
    fields = {text: [text]}
    assert json.loads(json_line(fields)) == fields
    assert json.loads(safe_json(json.dumps(fields, indent=1, ensure_ascii=False))) == fields
