from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import av.error
import pytest
from typer.testing import CliRunner, Result

from client import audio_files
from client.cli.app import app
from client.cli.printing import Printer
from client.errors import ClientError, ExitCode, OutputFailed, Refused, UnreadableAudio
from client.live import audio
from speech.pcm import PcmFormat
from tests.support.recordings import wav
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.unit


def test_every_error_has_an_exit_code_that_help_and_page_explain() -> None:
    printed = " ".join(CliRunner().invoke(app, ["stream", "--help"]).output.split())
    page = (Path(__file__).parents[3] / "docs" / "client.md").read_text()
    for code in ExitCode:
        assert f"{code:d} {code.meaning.split(' (')[0].split(',')[0].split(' ')[0]}" in printed
        assert f"| {code:d} | {code.meaning} |" in page
    for kind in ClientError.__subclasses__():
        assert kind.exit_code not in {ExitCode.OK, ExitCode.INTERRUPTED}


def test_a_refusal_names_the_cause_and_the_time_to_retry() -> None:
    refused = Refused(ErrorCode.AT_CAPACITY, "Every slot is taken.", 12.5)
    assert str(refused) == "at_capacity: Every slot is taken. Try again in 12.5 s."
    assert refused.retryable


def test_a_permanent_refusal_advises_against_a_retry() -> None:
    refused = Refused(ErrorCode.INVALID_AUDIO, "Odd.")
    assert str(refused) == "invalid_audio: Odd. Trying again will not help."
    assert not refused.retryable


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (ErrorCode.INVALID_OPTION, "Leave it out"),
        (ErrorCode.UNSUPPORTED_LANGUAGE, "python -m client languages"),
    ],
)
def test_a_refused_option_comes_with_advice(code: ErrorCode, advice: str) -> None:
    assert advice in str(Refused(code, "Not this one."))
    assert "whoever runs" not in str(Refused(code, "Not this one.")), "the service knows that"


def test_a_wrong_command_line_exits_with_2() -> None:
    assert CliRunner().invoke(app, ["stream"]).exit_code == ExitCode.USAGE
    assert CliRunner().invoke(app, ["shout"]).exit_code == ExitCode.USAGE


# --- no stack traces ------------------------------------------------------------------------------

#: What PyAV has been seen to raise over the bytes of files, and their like.
DECODERS_RAISE = (
    UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid continuation byte"),
    av.error.ArgumentError(22, "Invalid argument"),
    av.error.MemoryError(12, "Cannot allocate memory"),
    MemoryError(),
    AttributeError("layout"),
    OSError(5, "Input/output error"),
    ValueError("no such codec"),
)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.parametrize("error", DECODERS_RAISE, ids=repr)
def test_any_error_of_a_decoder_is_reported_for_the_file(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(audio_files, "probe", fail)
    path = wav(tmp_path / "strange.wav", bytes(1_000), sample_rate=8_000)

    result = run("stream", path)

    assert result.exit_code == ExitCode.UNREADABLE
    assert result.stderr.startswith(f"{path}: ")


@pytest.mark.parametrize("error", DECODERS_RAISE, ids=repr)
async def test_an_error_of_a_decoder_midway_is_reported_for_the_file(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pieces(*_: object, **__: object) -> Iterator[bytes]:
        yield b"good"
        raise error

    monkeypatch.setattr(audio, "decode", pieces)
    frames = audio.read_file(tmp_path / "strange.wav", PcmFormat(8_000))

    assert await anext(frames) == b"good"
    with pytest.raises(UnreadableAudio, match=r"strange\.wav: "):
        await anext(frames)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("stream", "/nowhere/talk.wav"), ExitCode.UNREADABLE),
        (("stream", "/"), ExitCode.UNREADABLE),
        (("watch", "my meeting"), ExitCode.USAGE),
        (("watch", "caf\udce9"), ExitCode.USAGE),
        (("watch", "talk", "--url", f"http://{'a' * 64}.example"), ExitCode.USAGE),
        (("watch", "talk", "--url", "http://caf\udce9"), ExitCode.USAGE),
        (("languages", "--url", "http://127.0.0.1:99999"), ExitCode.USAGE),
        (("status", "caf\udce9.wav", "--bucket", "b"), ExitCode.USAGE),
        (("fetch", "--session", "caf\udce9/monday", "--bucket", "b"), ExitCode.USAGE),
        (("upload", "caf\udce9.wav", "--bucket", "b"), ExitCode.USAGE),
        (("upload", "a\0b.wav", "--bucket", "b"), ExitCode.USAGE),
    ],
)
def test_bad_input_ends_with_a_sentence(arguments: tuple[str, ...], code: ExitCode) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stderr.strip()
    assert "\ufffd" not in result.stderr


def test_a_closed_stdout_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputFailed, match="closed"):
        Printer().print_result("a line")
