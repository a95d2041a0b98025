"""Who transcribes a recording, and how long the router tries: pure decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config.gpu import GpuConfig
from lambdas.router.decide import (
    LEAST,
    LONGEST_PAUSE,
    RESERVE,
    RETRIES,
    Answer,
    Enqueue,
    Facts,
    NoAnswer,
    Pause,
    Reason,
    Rejected,
    ServerHealth,
    Skip,
    Transcribed,
    TranscriptionPace,
    TryLater,
    decide,
    decide_next,
    parse_response,
    patience,
)
from lambdas.router.request import TranscriptionRequest, parse_request
from lambdas.router.route import InvocationClock, RecordingRouter
from tests.support.events import BUCKET, created
from transcripts.recordings.keys import TranscriptionJob
from transcripts.recordings.machines import ASSUMED_SPEED
from transcripts.recordings.status import RecordingState

pytestmark = pytest.mark.unit

WAITING = RecordingState.WAITING
FINAL = (RecordingState.TRANSCRIBED, RecordingState.FAILED)
FINE = Facts(state=WAITING, batch=False, server=ServerHealth.READY, needed=3.0, left=299.0)
HOUR = 3600 * 4_000


def asked(size: int = 5) -> TranscriptionRequest:
    request = parse_request(created(size=size), BUCKET)
    assert request is not None
    return request


# --- before -------------------------------------------------------------------------------------


def test_a_server_that_is_ready_transcribes() -> None:
    assert decide(FINE) is None
    assert decide(replace(FINE, server=ServerHealth.NOT_ASKED)) is None


@pytest.mark.parametrize("server", ServerHealth)
@pytest.mark.parametrize("state", FINAL)
def test_what_was_dealt_with_is_left_alone_whatever_the_server_does(
    state: RecordingState, server: ServerHealth
) -> None:
    facts = replace(FINE, state=state, server=server, batch=True, left=0.0)

    assert decide(facts) == Skip(state)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(FINE, batch=True), Reason.BATCH),
        (replace(FINE, server=ServerHealth.NONE), Reason.NO_SERVER),
        (replace(FINE, server=ServerHealth.DOWN), Reason.SERVER_DOWN),
        (replace(FINE, server=ServerHealth.NOT_READY), Reason.SERVER_NOT_READY),
        (replace(FINE, server=ServerHealth.FULL), Reason.SERVER_FULL),
        (replace(FINE, needed=300.0), Reason.TOO_LARGE),
        (replace(FINE, needed=300.0, server=ServerHealth.NOT_ASKED), Reason.TOO_LARGE),
        (replace(FINE, needed=0.0, left=RESERVE + LEAST - 0.1), Reason.NO_TIME),
    ],
)
def test_what_the_server_cannot_be_given_now_is_queued(facts: Facts, reason: Reason) -> None:
    assert decide(facts) == Enqueue(reason)


def test_planner_and_environment_assume_the_same_speed() -> None:
    assert TranscriptionPace().speed == GpuConfig().speed == ASSUMED_SPEED


def test_the_longest_recording_that_is_tried_follows_from_what_is_assumed() -> None:
    pace = TranscriptionPace(bytes_per_second=4_000, speed=20)

    assert pace.seconds(HOUR) == 180
    assert pace.seconds(None) == 0
    assert decide(replace(FINE, needed=pace.seconds(HOUR))) is None
    assert decide(replace(FINE, needed=pace.seconds(2 * HOUR))) == Enqueue(Reason.TOO_LARGE)


# --- after an attempt -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "retry_after", "answer"),
    [
        (200, None, Transcribed()),
        (503, "3", TryLater(retry_after=3.0)),
        (503, None, TryLater()),
        (429, "Fri, 20 Nov 2026 17:29:03 GMT", TryLater()),
        (429, "-1", TryLater()),
        (429, "9" * 400, TryLater()),
        (429, "\u0663", TryLater()),
        (500, None, NoAnswer()),
        (502, None, NoAnswer()),
        (504, "1", NoAnswer()),
        (400, None, Rejected()),
        (401, None, Rejected()),
        (422, None, Rejected()),
        (302, None, Rejected()),
        (204, None, Rejected()),
    ],
)
def test_each_status_means_something(status: int, retry_after: str | None, answer: Answer) -> None:
    assert parse_response(status, retry_after) == answer


def next_of(answer: TryLater | NoAnswer | Rejected, **given: object) -> object:
    usual = {"state": WAITING, "attempts": 1, "needed": 3.0, "left": 299.0, "jitter": 0.5}
    return decide_next(answer, **(usual | given))  # type: ignore[arg-type]  # a table's row


@pytest.mark.parametrize("answer", [TryLater(), NoAnswer()])
def test_three_more_attempts_are_made_each_after_twice_the_pause(
    answer: TryLater | NoAnswer,
) -> None:
    following = [next_of(answer, attempts=number) for number in (1, 2, 3, 4)]

    assert following == [Pause(1.125), Pause(2.25), Pause(4.5), Enqueue(Reason.SERVER_FAILS)]


def test_those_who_failed_together_do_not_come_back_together() -> None:
    assert next_of(NoAnswer(), jitter=0.0) == Pause(1.5)
    assert next_of(NoAnswer(), jitter=1.0) == Pause(0.75)
    assert next_of(TryLater(retry_after=5.0), jitter=0.25) == Pause(5.25)


def test_a_server_that_wants_to_be_left_alone_is() -> None:
    assert next_of(TryLater(retry_after=7.0)) == Pause(7.5)
    assert next_of(TryLater(retry_after=LONGEST_PAUSE + 1)) == Enqueue(Reason.SERVER_FULL)


def test_what_another_attempt_does_not_help_is_queued_at_once() -> None:
    assert next_of(Rejected()) == Enqueue(Reason.SERVER_REFUSES)


@pytest.mark.parametrize("answer", [NoAnswer(), Rejected()])
@pytest.mark.parametrize("state", FINAL)
def test_an_answer_that_was_lost_is_found_in_the_bucket(
    answer: NoAnswer | Rejected, state: RecordingState
) -> None:
    assert next_of(answer, state=state, attempts=4, left=0.0) == Skip(state)


@pytest.mark.parametrize(("needed", "left"), [(3.0, RESERVE + 6.0), (60.0, RESERVE + 61.0)])
def test_no_attempt_is_begun_that_cannot_be_awaited(needed: float, left: float) -> None:
    assert next_of(NoAnswer(), needed=needed, left=left) == Enqueue(Reason.NO_TIME)
    assert next_of(NoAnswer(), needed=needed, left=left + 0.2) == Pause(1.125)


# --- all of it ------------------------------------------------------------------------------------


@dataclass
class World:
    """Server, bucket, queue and clock. Time passes only by waiting for them."""

    left: float
    answers: Iterator[tuple[Answer, float, RecordingState]]
    server: ServerHealth = ServerHealth.READY
    state_now: RecordingState = WAITING
    slow_bucket: float = 0.0
    slow_health: float = 0.0
    queued: list[TranscriptionJob] = field(default_factory=list)
    attempts: int = 0
    least: float = float("inf")

    def route(self, request: TranscriptionRequest, pace: TranscriptionPace | None = None) -> object:
        router = RecordingRouter(
            recordings=self, server=self, queue=self.queue, pace=pace or TranscriptionPace(speed=20)
        )
        clock = InvocationClock(left=lambda: self.left, sleep=self.spend, jitter=lambda: 0.999)
        return router.route(request, clock).end

    def finish(self, state: RecordingState) -> None:
        if not self.state_now.is_final:
            self.state_now = state

    def spend(self, seconds: float) -> None:
        self.left -= seconds

    def state(self, _request: TranscriptionRequest) -> RecordingState:
        self.spend(self.slow_bucket)
        return self.state_now

    def size(self, _request: TranscriptionRequest) -> int | None:
        return None

    def health(self) -> ServerHealth:
        self.spend(self.slow_health)
        return self.server

    def transcribe(self, _bucket: str, _key: str, *, seconds: float) -> Answer:
        assert seconds > 0
        self.attempts += 1
        answer, takes, state = next(self.answers)
        self.spend(min(takes, seconds))
        self.least = min(self.least, self.left)
        if takes > seconds:
            return NoAnswer()
        self.finish(state)
        if isinstance(answer, Transcribed):
            self.finish(RecordingState.TRANSCRIBED)
        return answer

    def queue(self, job: TranscriptionJob) -> None:
        self.least = min(self.least, self.left)
        self.queued.append(job)


answers = st.tuples(
    st.one_of(
        st.just(Transcribed()),
        st.just(NoAnswer()),
        st.just(Rejected()),
        st.builds(TryLater, retry_after=st.none() | st.floats(0, 30)),
    ),
    st.floats(0, 400),
    st.sampled_from([WAITING, WAITING, *FINAL]),
)


@given(
    left=st.floats(0, 300),
    size=st.integers(0, 10 * HOUR),
    server=st.sampled_from(ServerHealth),
    state=st.sampled_from([WAITING, WAITING, *FINAL]),
    slow_bucket=st.floats(0, 7),
    slow_health=st.floats(0, 30),
    given_answers=st.lists(answers, min_size=4, max_size=4),
)
def test_nothing_is_lost_and_the_function_never_runs_out_of_time(
    *,
    left: float,
    size: int,
    server: ServerHealth,
    state: RecordingState,
    slow_bucket: float,
    slow_health: float,
    given_answers: list[tuple[Answer, float, RecordingState]],
) -> None:
    world = World(left, iter(given_answers), server, state, slow_bucket, slow_health)
    request = asked(size)

    end = world.route(request)

    assert world.state_now.is_final or world.queued == [request.job]
    assert isinstance(end, Enqueue) == bool(world.queued)
    assert world.attempts <= 1 + RETRIES
    if world.attempts:  # then two looks at the bucket are what the reserve was touched for at most
        assert world.least >= RESERVE - slow_bucket - 1e-6


def test_a_server_without_time_for_it_is_not_even_asked_how_it_is() -> None:
    world = World(299.0, iter([]), slow_health=1.0)

    assert world.route(asked(10 * HOUR)) == Enqueue(Reason.TOO_LARGE)
    assert world.left == 299.0


def test_a_slow_health_check_leaves_no_time_for_the_recording() -> None:
    world = World(RESERVE + 20.0, iter([]), slow_health=20.0)

    assert world.route(asked()) == Enqueue(Reason.NO_TIME)
    assert world.attempts == 0


def test_a_lost_answer_is_looked_for_before_the_recording_is_sent_again() -> None:
    world = World(299.0, iter([(NoAnswer(), 1.0, RecordingState.TRANSCRIBED)]))

    assert world.route(asked()) == Skip(RecordingState.TRANSCRIBED)
    assert world.attempts == 1
    assert world.queued == []


def test_a_refusal_without_a_record_of_it_is_queued() -> None:
    world = World(299.0, iter([(Rejected(), 1.0, WAITING)]))

    assert world.route(asked()) == Enqueue(Reason.SERVER_REFUSES)
    assert len(world.queued) == 1


def test_the_answer_is_awaited_longer_the_longer_it_takes_but_never_too_long() -> None:
    assert patience(0.0, 299.0) < patience(20.0, 299.0) < patience(60.0, 299.0)
    assert patience(600.0, 299.0) == 299.0 - RESERVE
