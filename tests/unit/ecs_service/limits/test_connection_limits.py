"""Slots of viewers, shares of the descriptors, and pending connections."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_service import descriptors
from ecs_service.api.acceptor import AcceptedConnection, PendingConnections
from ecs_service.descriptors import OWN, PER_STREAM, TooFewDescriptors, share
from ecs_service.limits.unread import UNCOUNTED_BYTES, UnreadBudget
from ecs_service.limits.viewer_slots import ViewerSlots
from ecs_service.refusal import Refusal
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.unit


# --- viewers -----------------------------------------------------------------------------------


@given(
    st.integers(1, 10),
    st.integers(1, 10),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=100),
)
def test_there_are_never_more_viewers_than_slots(
    most: int, most_each: int, steps: list[tuple[bool, int]]
) -> None:
    viewers = ViewerSlots(most, most_each)
    watching: list[tuple[int, contextlib.ExitStack]] = []
    for comes, talk in steps:
        if comes:
            slot = contextlib.ExitStack()
            of_talk = sum(one == talk for one, _ in watching)
            if len(watching) < most and of_talk < most_each:
                slot.enter_context(viewers.hold(f"talk{talk}"))
                watching.append((talk, slot))
                continue
            with pytest.raises(Refusal) as refused:
                slot.enter_context(viewers.hold(f"talk{talk}"))
            assert refused.value.code is ErrorCode.TOO_MANY_VIEWERS
            assert refused.value.retry_after
        elif watching:
            watching.pop(talk % len(watching))[1].close()
        assert viewers.taken == len(watching)
    assert len(viewers._by_conversation) <= len(watching), "nobody is remembered who is gone"
    for _, slot in watching:
        slot.close()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 200_000)), max_size=100))
def test_what_waits_for_all_viewers_is_bounded_and_the_slower_half_goes(
    messages: list[tuple[int, int]],
) -> None:
    most = 300_000
    unread = UnreadBudget(most)
    waiting: dict[int, int] = {}
    for viewer, size in messages:
        waiting[viewer] = size
        may_stay = unread.allows(viewer, size)
        if not may_stay:
            counted = [each for each in waiting.values() if each > UNCOUNTED_BYTES]
            assert sum(counted) > most
            assert size >= sum(counted) / len(counted)
            del waiting[viewer]
        assert unread.total == sum(each for each in waiting.values() if each > UNCOUNTED_BYTES)


def test_viewers_that_never_read_stay_within_the_budget_however_many() -> None:
    unread, waiting = UnreadBudget(1_000_000), dict.fromkeys(range(500), 0)
    for _ in range(100):
        for viewer in list(waiting):
            waiting[viewer] += 1_000
            if not unread.allows(viewer, waiting[viewer]):
                del waiting[viewer]
        assert sum(waiting.values()) <= 1_000_000 + 500 * UNCOUNTED_BYTES


def test_a_viewer_that_is_gone_is_not_counted() -> None:
    unread = UnreadBudget(1_000_000)
    with unread.track("viewer"):
        unread.allows("viewer", 500_000)
        assert unread.total == 500_000
    assert unread.total == 0


# --- descriptors -------------------------------------------------------------------------------

people = st.integers(1, 5_000)


@given(st.integers(OWN, 100_000), people, people)
def test_all_shares_together_stay_within_what_there_is(
    limit: int, viewers: int, streams: int
) -> None:
    try:
        shares = share(limit, viewers=viewers, streams=streams)
    except TooFewDescriptors:
        assert limit < OWN + 32
        return

    used = shares.pending + shares.viewers + shares.streams * PER_STREAM
    assert used <= limit - OWN
    assert shares.viewers <= viewers
    assert 1 <= shares.streams <= streams
    assert shares.pending >= 1


@given(people, people)
def test_with_as_many_as_are_wanted_everybody_gets_what_is_wanted(
    viewers: int, streams: int
) -> None:
    limit = descriptors.wanted(viewers=viewers, streams=streams)

    shares = share(limit, viewers=viewers, streams=streams)

    assert (shares.viewers, shares.streams) == (viewers, streams)
    assert shares == share(None, viewers=viewers, streams=streams)


def test_viewers_leave_speakers_theirs() -> None:
    few = share(128, viewers=4_000, streams=25)

    assert few.streams >= 6
    assert few.viewers >= 24


# --- pending connections -------------------------------------------------------------------------


class Transport:
    """A connection as the event loop has it."""

    def __init__(self) -> None:
        self.cut = False

    def get_extra_info(self, name: str) -> tuple[str, int]:
        assert name == "peername"
        return "192.0.2.1", 40_000

    def abort(self) -> None:
        self.cut = True


def connect(pending: PendingConnections) -> tuple[AcceptedConnection, Transport]:
    transport = Transport()
    connection = AcceptedConnection(pending)
    connection.on_connected(cast("Any", transport))
    return connection, transport


def test_a_new_connection_drops_the_oldest_pending_one() -> None:
    pending = PendingConnections(2)
    came = [connect(pending) for _ in range(3)]

    assert [transport.cut for _, transport in came] == [True, False, False]
    assert came[0][0].peer == "192.0.2.1"


def test_a_protected_connection_stays_however_many_come() -> None:
    pending = PendingConnections(1)
    speaker, transport = connect(pending)

    with speaker.protect():
        for _ in range(5):
            connect(pending)
        assert not transport.cut

    assert len(pending) == 2, "and leaves in order"
    connect(pending)
    connect(pending)
    assert transport.cut


def test_who_is_gone_is_not_counted() -> None:
    pending = PendingConnections(1)
    gone, _ = connect(pending)
    with gone.protect():
        gone.on_disconnected()
    _, stays = connect(pending)

    assert len(pending) == 1
    assert not stays.cut


@given(st.integers(1, 5), st.lists(st.integers(0, 3), max_size=80))
def test_there_are_never_more_connections_than_slots_and_pending_ones(
    most: int, steps: list[int]
) -> None:
    slots, pending = 4, PendingConnections(most)
    open_: list[tuple[AcceptedConnection, Transport]] = []
    holding: dict[AcceptedConnection, contextlib.ExitStack] = {}
    for step in steps:
        if step == 0 or not open_:
            open_.append(connect(pending))
        elif step == 1 and len(holding) < slots:
            connection = open_[-1][0]
            if connection not in holding:
                holding[connection] = contextlib.ExitStack()
                holding[connection].enter_context(connection.protect())
        elif step == 2 and holding:
            holding.pop(next(iter(holding))).close()
        elif step == 3:
            connection, _ = open_.pop()
            connection.on_disconnected()
            holding.pop(connection, contextlib.ExitStack()).close()
        for connection, transport in open_:
            if transport.cut:
                connection.on_disconnected()
        open_ = [one for one in open_ if not one[1].cut]
        assert len(open_) <= slots + most
    for slot in holding.values():
        slot.close()
