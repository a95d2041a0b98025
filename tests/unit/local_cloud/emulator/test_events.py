from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from local_cloud.emulator.events import WORKERS, Deliveries, EventJournal, PendingEvent

pytestmark = pytest.mark.unit

PATIENCE = 10.0


class Functions:
    """Functions that do what a test wants, and remember it."""

    def __init__(
        self, does: Callable[[PendingEvent], bool] = lambda _: True, retries: int = 2
    ) -> None:
        self._does = does
        self._retries = retries
        self.asked: list[str] = []
        self.given_up: list[str] = []

    def invoke(self, delivery: PendingEvent) -> bool:
        self.asked.append(delivery.payload)
        return self._does(delivery)

    def retry_in(self, delivery: PendingEvent) -> float | None:
        return 0.0 if delivery.failures <= self._retries else None

    def give_up(self, delivery: PendingEvent) -> None:
        self.given_up.append(delivery.payload)


class Done(threading.Semaphore):
    """Counts the events that are done with."""

    def __init__(self) -> None:
        super().__init__(0)

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.acquire(timeout=PATIENCE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def test_an_event_is_kept_until_what_came_of_it_is_saved(path: Path) -> None:
    done = Done()
    deliveries = Deliveries(EventJournal(path), Functions(), changed=done.release)

    deliveries.accept("f", "one")
    done.wait(1)

    assert [each.payload for each in EventJournal(path).read()] == ["one"]
    deliveries.remove(deliveries.completed())
    assert EventJournal(path).read() == []
    assert deliveries.completed() == []


def test_what_was_not_done_with_comes_again_after_a_kill(path: Path) -> None:
    never = threading.Event()
    killed = Functions(lambda _: never.wait(PATIENCE))
    Deliveries(EventJournal(path), killed, changed=lambda: None).accept("f", "one")

    done, functions = Done(), Functions()
    Deliveries(EventJournal(path), functions, changed=done.release).resume()
    done.wait(1)
    never.set()

    assert functions.asked == ["one"]


def test_what_fails_is_tried_again_and_put_aside_in_the_end(path: Path) -> None:
    done, functions = Done(), Functions(lambda _: False)
    deliveries = Deliveries(EventJournal(path), functions, changed=done.release)

    deliveries.accept("f", "bad")
    done.wait(1)

    assert functions.asked == ["bad"] * 3
    assert functions.given_up == ["bad"]


def test_what_succeeds_at_another_attempt_is_not_put_aside(path: Path) -> None:
    done, functions = Done(), Functions(lambda delivery: delivery.failures == 1)
    deliveries = Deliveries(EventJournal(path), functions, changed=done.release)

    deliveries.accept("f", "late")
    done.wait(1)

    assert functions.asked == ["late"] * 2
    assert functions.given_up == []


def test_a_burst_waits_and_no_function_waits_for_another(path: Path) -> None:
    go, done, lock = threading.Event(), Done(), threading.Lock()
    at_once = [0, 0]

    def work(delivery: PendingEvent) -> bool:
        if delivery.function == "quick":
            return True
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        go.wait(PATIENCE)
        with lock:
            at_once[0] -= 1
        return True

    functions = Functions(work)
    deliveries = Deliveries(EventJournal(path), functions, changed=done.release)
    for number in range(5 * WORKERS):
        deliveries.accept("slow", str(number))
    deliveries.accept("quick", "quick")
    done.wait(1)
    go.set()
    done.wait(5 * WORKERS)

    assert len(set(functions.asked)) == 5 * WORKERS + 1
    assert at_once[1] == WORKERS
