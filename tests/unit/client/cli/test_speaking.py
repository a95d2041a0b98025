"""What the user of a stream or of a conversation reads when the connection breaks."""

from __future__ import annotations

import json

import pytest

from client.cli.captions import CaptionPrinter
from client.cli.printing import Printer
from client.cli.speaking import StreamPrinter
from client.errors import ConnectionLost
from client.live.following import Gap
from transcripts.models import Utterance

pytestmark = pytest.mark.unit

SPOKEN = Utterance.model_validate(
    {
        "conversation_id": "c",
        "utterance_id": "s-1",
        "timestamp": "2026-11-20T09:00:00Z",
        "speaker": "Ada",
        "language": "en-US",
        "start_time": 0,
        "end_time": 1,
        "text": "hello",
    }
)


def printers(*, as_json: bool) -> tuple[CaptionPrinter, StreamPrinter]:
    printer = Printer(as_json=as_json)
    captions = CaptionPrinter(printer, interim_results=False)
    return captions, StreamPrinter(printer, captions)


def test_a_cut_shows_when_it_goes_on_and_how_much_is_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, stream = printers(as_json=True)
    stream.on_retry(ConnectionLost("it broke"), 0.4, 12.3)
    stream.on_lost(3.0)
    stream.on_new_stream(4.0)
    stream.on_missing(2)
    out, err = capsys.readouterr()
    assert out == ""
    cut, lost, new, missing = err.splitlines()
    assert cut == "it broke; connecting again in 0.4 s, 12 s of audio kept"
    assert lost.startswith("3.0 s of audio are lost")
    assert "4.0 s" in new
    assert missing.startswith("2 finals")


def test_a_final_that_was_missed_is_printed_as_any_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printers(as_json=False)[1].on_found(SPOKEN)
    assert capsys.readouterr().out == "hello\n"
    printers(as_json=True)[1].on_found(SPOKEN)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["type"], printed["utteranceId"], printed["text"]) == ("final", "s-1", "hello")


def test_a_gap_is_a_line_for_people_and_an_object_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gap = Gap(conversation_id="standup")
    printers(as_json=False)[0].print_news(gap)
    out, err = capsys.readouterr()
    assert (out, err.count("captions are missing")) == ("", 1)
    printers(as_json=True)[0].print_news(gap)
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"type": "gap", "conversationId": "standup"}, "")
