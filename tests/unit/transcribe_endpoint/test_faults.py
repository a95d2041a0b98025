"""Faults by name: how they are asked for, and whom they befall."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcribe_endpoint.errors import AccessDenied, BadRequest, InternalFailure, LimitExceeded
from transcribe_endpoint.faults import Fault, FaultKind, Faults, UnknownFault
from transcribe_endpoint.requests import TranscribeRequest

pytestmark = pytest.mark.unit


def request(**changes: str) -> TranscribeRequest:
    asked = {"language-code": "en-US", "media-encoding": "pcm", "sample-rate": "16000"}
    return TranscribeRequest.parse(
        asked | {name.replace("_", "-"): value for name, value in changes.items()}
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("refuse:403", Fault(FaultKind.REFUSE, error=AccessDenied)),
        ("refuse-403-x2", Fault(FaultKind.REFUSE, error=AccessDenied, times=2)),
        ("limit", Fault(FaultKind.LIMIT, error=LimitExceeded)),
        ("exception:InternalFailure@2.5", Fault(FaultKind.EXCEPTION, 2.5, InternalFailure)),
        ("exception-LimitExceededException-2", Fault(FaultKind.EXCEPTION, 2.0, LimitExceeded)),
        ("stall@0.5x3", Fault(FaultKind.STALL, 0.5, times=3)),
        ("disconnect-0.5-x3", Fault(FaultKind.DISCONNECT, 0.5, times=3)),
        ("idle:0.2", Fault(FaultKind.IDLE, 0.2)),
        ("one-stream-per-connection", Fault(FaultKind.ONE_STREAM)),
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
    assert Fault.parse("refuse:429").to_error().at_handshake
    assert not Fault.parse("limit").to_error().at_handshake


def test_a_fault_of_the_command_line_befalls_as_many_streams_as_was_asked_for() -> None:
    faults = Faults([Fault.parse("stall@1x2"), Fault.parse("idle:3")])

    dealt = [[fault.kind for fault in faults.due_for(request())] for _ in range(3)]

    assert dealt == [
        [FaultKind.STALL, FaultKind.IDLE],
        [FaultKind.STALL, FaultKind.IDLE],
        [FaultKind.IDLE],
    ]


def test_a_client_asks_with_the_name_of_a_vocabulary() -> None:
    faults = Faults()
    asking = request(vocabulary_name="fault-disconnect-2-x1")

    assert faults.due_for(request(vocabulary_name="names")) == ()
    assert faults.due_for(asking) == (Fault(FaultKind.DISCONNECT, 2.0, times=1),)
    assert faults.due_for(asking) == ()


def test_a_vocabulary_named_after_no_fault_is_refused() -> None:
    with pytest.raises(BadRequest, match="there is no fault 'flood'"):
        Faults().due_for(request(vocabulary_name="fault-flood"))
