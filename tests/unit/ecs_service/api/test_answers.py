"""HTTP answers: no caller gets a 5xx, on which an alarm takes a deployment back."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from picows import WSUpgradeRequest, WSUpgradeResponseWithListener

import ecs_service
from ecs_service.access.edge import EDGE_HEADER, AccessPolicy
from ecs_service.api.acceptor import AcceptedConnection, PendingConnections
from ecs_service.api.connection import Connection
from ecs_service.api.health import HealthEndpoints
from ecs_service.api.requests import HttpResponse
from ecs_service.api.router import RequestRouter, SocketRoute
from ecs_service.api.speaker_connection import parse_wish
from ecs_service.limits.callers import CallerLimits
from ecs_service.limits.rates import RateLimit, TokenRate
from ecs_service.limits.stream_slots import StreamSlots

pytestmark = pytest.mark.unit


def slots(*, taken: int = 0, draining: bool = False) -> StreamSlots:
    found = StreamSlots(1)
    found.taken, found.is_draining = taken, draining
    return found


@pytest.mark.parametrize(
    ("state", "of"),
    [
        ("ready", slots()),
        ("full", slots(taken=1)),
        ("draining", slots(draining=True)),
    ],
)
def test_a_full_or_leaving_service_is_no_error_of_the_service(state: str, of: StreamSlots) -> None:
    answers = {path: answer() for path, answer in HealthEndpoints(of, None).routes().items()}

    assert {answer.status for answer in answers.values()} <= {200, 429}
    ready = answers["/api/stt/ready"]
    assert f'"{state}"'.encode() in ready.body
    assert (ready.status == HTTPStatus.OK) == (state == "ready")
    assert ("Retry-After" in ready.headers) == (state != "ready")
    assert answers["/health"].status == answers["/api/stt/healthcheck"].status == HTTPStatus.OK


paths = st.sampled_from(["/health", "/api/stt/ready", "/api/stt/transcribe", "/metrics", "/x"])
targets = st.one_of(
    st.binary(max_size=60),
    st.tuples(paths, st.text(max_size=20)).map(lambda pair: "?".join(pair).encode()),
)
#: As picows gives them: bytes beyond ASCII as surrogates.
values = st.binary(max_size=40).map(lambda value: value.decode("ascii", "surrogateescape"))
names = st.sampled_from(
    [
        "Host",
        "Origin",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Version",
        "X-Forwarded-Host",
        "X-Cloudscribe-Viewer",
        EDGE_HEADER,
    ]
)


def router(*, loopback: bool, edge_secret: str | None) -> RequestRouter:
    def limit() -> RateLimit:
        return RateLimit(TokenRate(1.0, 5), most=2)

    def upgraded(*_: object) -> Connection:
        return cast("Connection", HttpResponse(HTTPStatus.OK, b"stands for a socket"))

    return RequestRouter(
        socket_routes={"/api/stt/transcribe": SocketRoute(upgraded, parse_wish)},
        refused=upgraded,
        http_routes=HealthEndpoints(slots(taken=1), None).routes(),
        access=AccessPolicy(loopback=loopback, edge_secret=edge_secret),
        callers=CallerLimits(connects=limit(), failures=limit()),
        address_header="X-Cloudscribe-Viewer",
        pending=PendingConnections(1),
    )


@given(
    st.lists(st.tuples(targets, st.dictionaries(names, values)), max_size=8),
    st.booleans(),
    st.sampled_from([None, "s" * 48]),
)
def test_nothing_that_a_caller_sends_is_answered_by_a_5xx(
    requests: list[tuple[bytes, dict[str, str]]],
    loopback: bool,  # noqa: FBT001 - hypothesis draws it
    edge_secret: str | None,
) -> None:
    answering = router(loopback=loopback, edge_secret=edge_secret)
    connection = AcceptedConnection(answering.pending)

    for target, headers in requests:
        raw = WSUpgradeRequest()
        raw.path, raw.headers = target, CIMultiDict(headers)
        found = answering(raw, connection)
        assert isinstance(found, WSUpgradeResponseWithListener)
        assert found.response.status < HTTPStatus.INTERNAL_SERVER_ERROR


def test_the_service_has_one_5xx_which_is_that_of_a_defect() -> None:
    named = [
        (path.name, name)
        for path in sorted(Path(ecs_service.__file__).parent.rglob("*.py"))
        for name in re.findall(r"HTTPStatus\.([A-Z_]+)", path.read_text())
        if HTTPStatus[name] >= HTTPStatus.INTERNAL_SERVER_ERROR
    ]

    assert named == [("router.py", "INTERNAL_SERVER_ERROR")]
