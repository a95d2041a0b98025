"""Whatever dies, goes away or forgets at any moment: each final ends in the table once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ecs_service.conversations import confirmation as confirmation_module
from ecs_service.conversations import outbox as outbox_module
from ecs_service.conversations.confirmation import MOST_SENDINGS, Confirmation
from ecs_service.conversations.journal import Journal
from ecs_service.conversations.outbox import BATCH, Outbox
from tests.support.utterances import utterance
from transcripts.conversations import Key, key_of
from transcripts.models import Utterance

pytestmark = pytest.mark.unit

PAUSE = 15.0
#: The table's state is on the disk at least so often, seconds.
SNAPSHOT = 10.0


class Killed(BaseException):
    """The service dies at this point."""


class Clouds:
    """Plays queue, processor and table, which forget in a kill what is not on their disk.

    Attributes:
        queue_away, table_away: whether calls fail.
        kill_next: the next call is carried out and its answer is never seen.
    """

    def __init__(self) -> None:
        self.queue: list[str] = []
        self.table: dict[Key, Utterance] = {}
        self.queue_away = self.table_away = self.kill_next = False
        self.snapshot()

    def snapshot(self) -> None:
        self.disk = (list(self.queue), dict(self.table))

    def kill(self) -> None:
        self.queue, self.table = list(self.disk[0]), dict(self.disk[1])

    def process(self, *, delete: bool) -> None:
        final = Utterance.model_validate_json(self.queue[0])
        self.table.setdefault(key_of(final), final)
        if delete:
            self.queue.pop(0)

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803 - the API's names
        del QueueUrl
        self._call(away=self.queue_away)
        self.queue += [entry["MessageBody"] for entry in Entries]
        self._answer()
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def has(self, keys: Collection[Key]) -> Mapping[Key, bool]:
        self._call(away=self.table_away)
        found = {key: key in self.table for key in keys}
        self._answer()
        return found

    def _call(self, *, away: bool) -> None:
        if away:
            raise EndpointConnectionError(endpoint_url="there")

    def _answer(self) -> None:
        if self.kill_next:
            self.kill_next = False
            raise Killed


class Durability(RuleBasedStateMachine):
    """A service, its journal, and the clouds; time passes only in `wait`."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._patches = pytest.MonkeyPatch()
        self.now = self.saved = 1_000.0
        for module in (confirmation_module, outbox_module):
            self._patches.setattr(module, "monotonic", lambda: self.now)
        self.clouds = Clouds()
        self.shown: list[Utterance] = []
        self.dead_letters = 0
        self._start()

    def _start(self) -> None:
        self.journal = Journal(Path(self._folder.name) / "outbox.db")
        self.outbox = Outbox(
            self.journal,
            self.clouds,  # type: ignore[arg-type] # plays the client
            "queue",
            confirm_seconds=PAUSE,
        )
        self.confirmation = Confirmation(self.journal, self.clouds, self.outbox.send, pause=PAUSE)

    @rule()
    def show(self) -> None:
        final = utterance()
        self.outbox.add(final)
        self.shown.append(final)

    @rule()
    def send(self) -> None:
        if entries := self.journal.oldest_waiting(BATCH):
            self._run(self.outbox.send(entries))

    @rule()
    def look(self) -> None:
        if entries := self.journal.due_for_check(self.now, 100):
            self._run(self.confirmation.confirm(entries))

    @precondition(lambda self: self.clouds.queue)
    @rule(delete=st.booleans())
    def process(self, delete: bool) -> None:  # noqa: FBT001 - hypothesis calls it by name
        self.clouds.process(delete=delete)

    @precondition(lambda self: self.clouds.queue and self.dead_letters < MOST_SENDINGS - 1)
    @rule()
    def make_a_dead_letter(self) -> None:
        self.dead_letters += 1
        self.clouds.queue.pop(0)

    @rule()
    def deliver(self) -> None:
        self.send()
        while self.clouds.queue:
            self.process(delete=True)

    @rule(away=st.booleans())
    def queue_away(self, away: bool) -> None:  # noqa: FBT001 - hypothesis calls it by name
        self.clouds.queue_away = away

    @rule(away=st.booleans())
    def table_away(self, away: bool) -> None:  # noqa: FBT001 - hypothesis calls it by name
        self.clouds.table_away = away

    @rule(seconds=st.sampled_from((1.0, PAUSE)))
    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while until > self.saved + SNAPSHOT:  # as late as may be
            self.now = self.saved + SNAPSHOT
            self.save()
        self.now = until

    @rule()
    def wait_long(self) -> None:
        self.now += PAUSE * 4.0**MOST_SENDINGS
        self.save()

    @rule()
    def save(self) -> None:
        self.clouds.snapshot()
        self.saved = self.now

    @rule()
    def kill_the_service(self) -> None:
        self.journal.close()
        self._start()

    @rule()
    def kill_the_service_in_its_next_call(self) -> None:
        self.clouds.kill_next = True

    @rule()
    def kill_the_clouds(self) -> None:
        self.clouds.kill()

    @rule()
    def kill_everything(self) -> None:
        self.clouds.kill()
        self.kill_the_service()

    @invariant()
    def nothing_is_given_up(self) -> None:
        kept = self.journal._db.execute("SELECT count(*) FROM pending WHERE refused IS NOT NULL")
        assert kept.fetchone() == (0,)

    def teardown(self) -> None:
        try:
            self.clouds.kill_next = self.clouds.queue_away = self.clouds.table_away = False
            for _ in range(4 * (len(self.shown) + MOST_SENDINGS)):
                self.deliver()
                self.look()
                self.wait_long()

            assert sorted(self.clouds.table) == sorted(map(key_of, self.shown))
            assert (self.journal.count_waiting(), self.journal.count_sent()) == (0, 0)
        finally:
            self.journal.close()
            self._patches.undo()
            self._folder.cleanup()

    def _run(self, step: Any) -> None:
        try:
            asyncio.run(step)
        except Killed:
            self.kill_the_service()


TestDurability = Durability.TestCase
TestDurability.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
