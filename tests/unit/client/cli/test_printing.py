"""Whatever a service, a bucket or a file's name holds, it cannot command the terminal."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from client.cli.app import app
from client.cli.captions import CaptionPrinter
from client.cli.delivery import print_status
from client.cli.printing import (
    Printer,
    guard_stderr,
    print_document,
    print_error,
    printable,
    safe_json,
)
from client.cli.vocabularies import _print_stored
from client.errors import ClientError, ExitCode, Refused
from client.live.connection import Received
from client.live.languages import EngineCapabilities, Languages
from client.live.translating import CaptionLine
from client.recordings.status import RecordingStatus, SessionStatus
from client.vocabularies import VOCABULARY, StoredVocabulary
from tests.support.transcripts import NOW
from transcripts.documents import Failure, RecordingTranscript
from transcripts.models import Utterance
from transcripts.protocol import Final, Partial, Translation
from transcripts.recordings.keys import Session
from transcripts.recordings.status import RecordingState

pytestmark = pytest.mark.unit

CLIENT = Path(__file__).parents[4] / "client"

HOSTILE = st.text(
    st.characters()
    | st.sampled_from("\x1b\x9b\x7f\u202e\u2066\u2028\udcff\ud83d\r\n\t\u00a0\u202f")
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


@given(HOSTILE)
def test_no_readable_character_is_lost(text: str) -> None:
    assert "\N{REPLACEMENT CHARACTER}" not in printable(text.replace("\ufffd", ""))


@given(HOSTILE)
def test_json_keeps_its_meaning(text: str) -> None:
    fields = {text: [text]}
    assert json.loads(safe_json(json.dumps(fields, ensure_ascii=False))) == fields
    assert json.loads(safe_json(json.dumps(fields, indent=1, ensure_ascii=False))) == fields


# --- nothing is printed elsewhere -----------------------------------------------------------------


def test_one_module_alone_writes_to_the_terminal() -> None:
    """Each way to print is a name; only `client/cli/printing.py` may use one.

    `__main__` sets the encoding of the outputs, `running` closes stdout.
    """
    ways = {"print", "echo", "secho", "stdout", "stderr", "Console", "writelines", "input"}
    found = {
        (path.relative_to(CLIENT).as_posix(), name)
        for path in CLIENT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (name := getattr(node, "attr", None) or getattr(node, "id", None)) in ways
    }
    assert {each for each in found if each[0] != "cli/printing.py"} == {
        ("__main__.py", "stdout"),
        ("__main__.py", "stderr"),
        ("cli/running.py", "stdout"),
        ("cli/documents.py", "writelines"),  # to a file
    }


# --- every place that prints ----------------------------------------------------------------------


class Terminal:
    """Stands in for stdout and stderr."""

    def __init__(self) -> None:
        self.out, self.err = (
            io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace") for _ in "oe"
        )

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        with contextlib.redirect_stdout(self.out), contextlib.redirect_stderr(self.err):
            yield

    def lines(self) -> list[str]:
        text = ""
        for each in (self.out, self.err):
            each.flush()
            assert isinstance(each.buffer, io.BytesIO)
            text += each.buffer.getvalue().decode()
        return text.split("\n")


def is_harmless(line: str) -> bool:
    """Return whether a line has no control, no separator of lines, and no change of direction."""
    kinds = {unicodedata.category(each) for each in line}
    overrides = {unicodedata.bidirectional(each) for each in line}
    return not (kinds & {"Cc", "Cs", "Zl", "Zp"} or overrides & TURNS)


#: Embeddings, overrides and isolates (Unicode Standard Annex 9).
TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def check(act: Callable[[], object], *, lines: int | None = None) -> list[str]:
    """Run `act` and check that what it prints commands no terminal, in so many lines."""
    terminal = Terminal()
    with terminal.shown():
        act()
    *printed, last = terminal.lines()
    assert last == ""
    assert all(map(is_harmless, printed))
    assert lines is None or len(printed) == lines
    return printed


def utterance(kind: type[Any], text: str) -> Any:
    """Return a message of which every text is hostile, past all validation."""
    return kind.model_construct(
        conversation_id=text,
        utterance_id=text,
        seq=1,
        timestamp=NOW,
        speaker=text,
        speaker_label=text,
        channel=1,
        language=text,
        start_time=0.0,
        end_time=1.0,
        text=text,
        words=(),
        is_final=True,
    )


@given(HOSTILE, st.sampled_from([Final, Partial, Utterance]))
def test_captions(text: str, kind: type[Any]) -> None:
    caption = utterance(kind, text)
    translation = utterance(Translation, text)
    captions = CaptionPrinter(Printer(), interim_results=True)

    check(lambda: captions.print_news(caption), lines=1)
    check(lambda: captions.print_line(CaptionLine(caption, translation, foreign=True)), lines=1)
    check(lambda: captions.print_received(Received(text, caption)), lines=kind is not Utterance)


@given(HOSTILE, st.sampled_from([Final, Partial, Translation]))
def test_captions_as_json(text: str, kind: type[Any]) -> None:
    printer = Printer(as_json=True)
    captions = CaptionPrinter(printer, interim_results=True)
    sent = json.dumps({"text": text}, ensure_ascii=False, indent=1)

    if kind is not Translation:
        (line,) = check(lambda: captions.print_received(Received(sent, utterance(kind, text))))
        assert json.loads(line) == {"text": text}
    well_formed = text.encode(errors="replace").decode()  # JSON of pydantic has no surrogates
    (line,) = check(lambda: captions.print_news(utterance(kind, well_formed)))
    assert json.loads(line)["text"] == well_formed


@given(HOSTILE)
def test_notes_and_errors(text: str) -> None:
    kinds = [kind for kind in _all_errors(ClientError) if kind is not Refused]
    check(lambda: Printer().print_note(text, text), lines=2)
    for kind in kinds:
        check(lambda kind=kind: print_error(kind(text), "Advice."), lines=2)  # type: ignore[misc]  # bound now
    check(lambda: print_error(Refused(text, text, 1.0)), lines=1)


def _all_errors(kind: type[ClientError]) -> Iterator[type[ClientError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _all_errors(each)


@given(HOSTILE)
def test_what_a_bucket_holds(text: str) -> None:
    foreign: dict[str, Any] = {"key": text, "code": text, "message": text, "created_at": NOW}
    failure = Failure.model_construct(**foreign)
    made = RecordingTranscript.model_construct(
        key=text, duration=1.0, language=text, engine=text, created_at=NOW, segments=()
    )
    session = Session(user_id=text, session_id=text)
    statuses = (
        RecordingStatus(key=text, state=RecordingState.FAILED, failure=failure, notes=(text,)),
        RecordingStatus(key=text, state=RecordingState.TRANSCRIBED, transcript=made),
        SessionStatus(
            session=session,
            state=RecordingState.WAITING,
            expected=1,
            transcribed=0,
            gaps={1: text},
            notes=(text,),
        ),
    )
    for each in statuses:
        for as_json in (False, True):
            check(lambda each=each, as_json=as_json: print_status(Printer(as_json=as_json), each))  # type: ignore[misc]  # bound now


@given(HOSTILE)
def test_stored_vocabularies(text: str) -> None:
    stored = StoredVocabulary(
        kind=VOCABULARY, name=text, language=text, modified=None, state=text, reason=text
    )
    for as_json in (False, True):
        check(lambda as_json=as_json: _print_stored(Printer(as_json=as_json), stored), lines=1)  # type: ignore[misc]  # bound now


@given(st.binary() | HOSTILE.map(lambda text: text.encode(errors="replace")))
def test_documents(content: bytes) -> None:
    lines = content.count(b"\n") + 1
    check(lambda: print_document((content, b"\n"), is_json=False), lines=lines)
    check(lambda: print_document((content, b"\n"), is_json=True), lines=lines)


@given(HOSTILE)
def test_languages_of_a_service(text: str) -> None:
    async def answer(_: str) -> Languages:
        return Languages.model_construct(
            engine=text,
            note=text,
            capabilities=EngineCapabilities(),
            recognition=(text,),
            translation=(text,),
            translator=text,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.cli.app.ask_for_languages", answer)
        result = CliRunner().invoke(app, ["languages"])
    assert result.exit_code == ExitCode.OK
    assert [is_harmless(line) for line in result.stdout.split("\n")] == [True] * 5


def test_logs_and_stack_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.Logger("root")  # noqa: LOG001 - not the one of the tests
    monkeypatch.setattr(logging, "getLogger", lambda: root)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    guard_stderr()
    defect = ValueError("\x1b]0;owned\x07")

    (logged,) = check(lambda: root.warning("odd item: %s", defect))
    assert logged == r"odd item: \x1b]0;owned\x07"
    check(lambda: sys.excepthook(ValueError, defect, None))
