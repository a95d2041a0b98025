"""Faults by name: how they are asked for, and whom they befall."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcribe_endpoint.faults import Fault, Faults, Kind, UnknownFault
from transcribe_endpoint.requests import (
    AccessDenied,
    BadRequest,
    InternalFailure,
    LimitExceeded,
    StreamRequest,
)

pytestmark = pytest.mark.unit


def request(**changes: str) -> StreamRequest:
    asked = {"language-code": "en-US", "media-encoding": "pcm", "sample-rate": "16000"}
    return StreamRequest.parse(
        asked | {name.replace("_", "-"): value for name, value in changes.items()}
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("refuse:403", Fault(Kind.REFUSE, error=AccessDenied)),
        ("refuse-403-x2", Fault(Kind.REFUSE, error=AccessDenied, times=2)),
        ("limit", Fault(Kind.LIMIT, error=LimitExceeded)),
        ("exception:InternalFailure@2.5", Fault(Kind.EXCEPTION, 2.5, InternalFailure)),
        ("exception-LimitExceededException-2", Fault(Kind.EXCEPTION, 2.0, LimitExceeded)),
        ("stall@0.5x3", Fault(Kind.STALL, 0.5, times=3)),
        ("disconnect-0.5-x3", Fault(Kind.DISCONNECT, 0.5, times=3)),
        ("idle:0.2", Fault(Kind.IDLE, 0.2)),
        ("one-stream-per-connection", Fault(Kind.ONE_STREAM)),
    ],
)
def test_a_fault_is_asked_for_by_name(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    "text", ["", "stall", "refuse:418", "exception:Oops@1", "disconnect@-1", "limit x2", "idle:x"]
)
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(UnknownFault):
        Fault.parse(text)


@given(st.text())
def test_any_text_is_a_fault_or_none(text: str) -> None:
    with contextlib.suppress(UnknownFault):
        assert Fault.parse(text).seconds >= 0


def test_only_a_refusal_answers_the_handshake() -> None:
    assert Fault.parse("refuse:429").happening().at_handshake
    assert not Fault.parse("limit").happening().at_handshake


def test_a_fault_of_the_command_line_befalls_as_many_streams_as_was_asked_for() -> None:
    faults = Faults([Fault.parse("stall@1x2"), Fault.parse("idle:3")])

    dealt = [[fault.kind for fault in faults.deal(request())] for _ in range(3)]

    assert dealt == [[Kind.STALL, Kind.IDLE], [Kind.STALL, Kind.IDLE], [Kind.IDLE]]


def test_a_client_asks_with_the_name_of_a_vocabulary() -> None:
    faults = Faults()
    asking = request(vocabulary_name="fault-disconnect-2-x1")

    assert faults.deal(request(vocabulary_name="names")) == ()
    assert faults.deal(asking) == (Fault(Kind.DISCONNECT, 2.0, times=1),)
    assert faults.deal(asking) == ()


def test_a_vocabulary_named_after_no_fault_is_refused() -> None:
    with pytest.raises(BadRequest, match="there is no fault 'flood'"):
        Faults().deal(request(vocabulary_name="fault-flood"))
