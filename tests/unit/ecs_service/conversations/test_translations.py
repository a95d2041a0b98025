"""Who gets which translation, with a translator that cache when a test lets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecs_service import telemetry
from ecs_service.conversations.hub import Conversation, Hub
from ecs_service.conversations.table_updates import TableUpdates
from ecs_service.conversations.translation_plan import TranslationPolicy
from ecs_service.conversations.translations import TranslationCache, Translations
from tests.support.utterances import utterance
from transcripts.models import Utterance
from transcripts.protocol import Partial
from translation.base import Translated, Translator
from translation.errors import AccessDenied, Unavailable, Undetected, UnsupportedPair

pytestmark = pytest.mark.unit

#: Nothing waits by the clock.
AT_ONCE = TranslationPolicy(first_partial=0.0, partial_every=0.0, first_pause=0.0)


class Viewer:
    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def deliver(self, frame: bytes) -> None:
        self.received.append(json.loads(frame))
        self._news.set()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["type"] == kind]

    @property
    def translated(self) -> list[tuple[str, bool]]:
        return [(m["text"], m["isFinal"]) for m in self.of("translation")]

    @property
    def states(self) -> list[str]:
        return [message["state"] for message in self.of("translation_status")]

    async def until(self, count: int, kind: str = "translation") -> None:
        """Wait for so many messages of a kind."""
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:
                self._news.clear()
                await self._news.wait()


class ScriptedTranslator(Translator):
    """Records who asked for what; each call may be held back or fail."""

    name = "test"

    def __init__(self, *, detects: bool = False) -> None:
        super().__init__(detects=detects)
        self.calls: list[tuple[str, str, str]] = []
        self.errors: list[Exception] = []
        self.shut_after_errors = False
        self.open = asyncio.Event()
        self.open.set()
        self._called = asyncio.Event()

    async def translate(self, text: str, *, source: str, target: str) -> Translated:
        self.calls.append((text, source, target))
        self._called.set()
        await self.open.wait()
        if self.errors:
            if self.shut_after_errors:
                self.open.clear()
            raise self.errors.pop(0)
        if self.detects:
            # What begins with an exclamation mark is in the target language already.
            detected = target if text.startswith("!") else "nl"
            return Translated(text if detected == target else f"{target}: {text}", detected)
        return Translated(f"{target}: {text}", source)

    @property
    def texts(self) -> list[str]:
        return [text for text, _, _ in self.calls]

    async def until_called(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.calls) < count:
                self._called.clear()
                await self._called.wait()


class Room:
    """A conversation that is spoken and read."""

    def __init__(self, policy: TranslationPolicy = AT_ONCE, *, detects: bool = False) -> None:
        self.hub = Hub()
        self.translator = ScriptedTranslator(detects=detects)
        self.translations = Translations(self.translator, policy)
        self.stack = ExitStack()

    @property
    def talk(self) -> Conversation:
        return self.hub.conversation("talk")

    def viewer(self, stack: ExitStack | None = None) -> Viewer:
        subscriber = Viewer()
        (stack or self.stack).enter_context(self.hub.add_subscriber("talk", subscriber))
        return subscriber

    def reader(self, language: str = "fr", stack: ExitStack | None = None) -> Viewer:
        """Join as a viewer does."""
        subscriber, stack = self.viewer(stack), stack or self.stack
        snapshot = self.talk.snapshot(complete=True)
        stack.enter_context(self.translations.add_reader(self.talk, language, subscriber, snapshot))
        return subscriber

    def partial(self, text: str, utterance_id: str = "u", language: str = "en-US") -> None:
        self.talk.publish_partial(
            lambda seq: Partial(
                conversation_id="talk",
                utterance_id=utterance_id,
                speaker="Ada",
                language=language,
                start_time=0.0,
                end_time=1.0,
                text=text,
                seq=seq,
            )
        )

    def final(self, text: str, utterance_id: str = "u", language: str = "en-US") -> Utterance:
        final = utterance(
            utterance_id=utterance_id, text=text, language=language, timestamp=datetime.now(UTC)
        )
        self.talk.publish_final(final)
        return final

    async def settled(self) -> None:
        """Let everything happen that can happen now."""
        for _ in range(20):
            await asyncio.sleep(0)


def missing() -> float:
    """Return how many finals were given up so far."""
    (metric,) = telemetry.translations_missing.collect()
    return next(s.value for s in metric.samples if s.name.endswith("_total"))


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    made = Room()
    async with made.translations:
        with made.stack:
            yield made


async def test_a_text_is_translated_once_however_many_read_it(room: Room) -> None:
    readers = [room.reader() for _ in range(50)]
    texts = ["good", "good morning", "good morning", "good morning everybody"]
    for text in texts:
        room.partial(text)
        await room.settled()
    room.final("good morning everybody")
    room.final("good", "v")
    room.final("see you", "w")
    for reader in readers:
        await reader.until(6)

    assert room.translator.texts == ["good", "good morning", "good morning everybody", "see you"]
    assert len({str(reader.received) for reader in readers}) == 1
    assert readers[0].translated == [
        ("fr: good", False),
        ("fr: good morning", False),
        ("fr: good morning everybody", False),
        ("fr: good morning everybody", True),
        ("fr: good", True),
        ("fr: see you", True),
    ]


async def test_a_final_that_is_being_translated_as_a_partial_costs_nothing(room: Room) -> None:
    reader = room.reader()
    room.translator.open.clear()
    room.partial("good morning")
    await room.translator.until_called(1)
    room.final("good morning")
    await room.settled()
    room.translator.open.set()
    await reader.until(1)

    assert room.translator.texts == ["good morning"]
    assert reader.translated == [("fr: good morning", True)]


async def test_a_translation_names_the_message_that_it_translates(room: Room) -> None:
    reader = room.reader()
    room.partial("good")
    await reader.until(1)
    room.final("goodbye", language="en-GB")
    await reader.until(2)

    originals = [m for m in reader.received if m["type"] in {"partial", "final"}]
    assert [m["seq"] for m in reader.of("translation")] == [m["seq"] for m in originals]
    assert reader.of("translation")[1] == {
        "type": "translation",
        "conversationId": "talk",
        "utteranceId": "u",
        "sourceLanguage": "en-GB",
        "language": "fr",
        "text": "fr: goodbye",
        "isFinal": True,
        "seq": 2,
    }


async def test_the_originals_go_their_way_while_the_translator_hangs(room: Room) -> None:
    viewer, reader = room.viewer(), room.reader()
    room.translator.open.clear()
    for n in range(300):
        room.partial(f"text {n}", f"u{n}")
        room.final(f"text {n} is final", f"u{n}")
        assert len(viewer.received) == 2 * (n + 1), "delivered before anything else happens"
        if n % 10 == 0:
            await room.settled()

    assert viewer.received == [m for m in reader.received if m["type"] in {"partial", "final"}]
    assert reader.translated == []
    assert len(room.translator.calls) == AT_ONCE.calls, "the rest waits"


async def test_no_translation_comes_before_what_it_translates(room: Room) -> None:
    """Not even one that is known already."""
    reader = room.reader()
    room.final("one", "a")
    await reader.until(1)
    room.final("one", "b")
    await reader.until(2)

    assert [(m["type"], m["utteranceId"]) for m in reader.received[-2:]] == [
        ("final", "b"),
        ("translation", "b"),
    ]


async def test_readers_learn_that_a_translator_hangs_and_that_it_is_back() -> None:
    room = Room(
        TranslationPolicy(first_partial=0.0, partial_every=0.0, first_pause=0.0, call_seconds=0.02)
    )
    async with room.translations:
        with room.stack:
            first = room.reader()
            room.translator.open.clear()
            room.final("one", "a")
            await first.until(1, "translation_status")
            late = room.reader()
            room.translator.open.set()
            await late.until(1)
            await first.until(1)

    assert first.states == late.states == ["failing", "ok"]
    assert first.translated == late.translated == [("fr: one", True)], "a final is tried again"


async def test_one_failure_is_nobodys_business(room: Room) -> None:
    reader = room.reader()
    room.translator.errors = [Unavailable("down")]
    room.final("one", "a")
    await reader.until(1)

    assert reader.states == []
    assert room.translator.texts == ["one", "one"]


@pytest.mark.parametrize("error", [AccessDenied("no"), ValueError("a defect")])
async def test_what_cannot_succeed_is_not_tried_again(room: Room, error: Exception) -> None:
    reader = room.reader()
    room.translator.errors = [error]
    room.final("one", "a")
    await reader.until(1, "translation_status")
    room.final("two", "b")
    await reader.until(2, "translation_status")

    assert room.translator.texts == ["one", "two"]
    assert reader.states == ["failing", "ok"]
    assert reader.translated == [("fr: two", True)]


async def test_while_it_fails_one_call_at_a_time_tries(room: Room) -> None:
    reader = room.reader()
    room.translator.open.clear()
    for n in range(10):
        room.final(f"text {n}", f"u{n}")
    await room.translator.until_called(AT_ONCE.calls)
    room.translator.errors = [Unavailable("down")] * AT_ONCE.calls
    room.translator.open.set()
    room.translator.shut_after_errors = True
    await reader.until(1, "translation_status")
    await room.settled()
    trying = len(room.translator.calls) - AT_ONCE.calls
    room.translator.open.set()
    await reader.until(10)

    assert trying == 1
    assert reader.states == ["failing", "ok"]
    assert {text for text, _ in reader.translated} == {f"fr: text {n}" for n in range(10)}


async def test_finals_that_waited_too_long_for_a_translator_are_given_up() -> None:
    room = Room(TranslationPolicy(first_pause=0.0, final_seconds=0.0))
    async with room.translations:
        with room.stack:
            reader = room.reader()
            room.translator.errors = [Unavailable("down")]
            room.final("one", "a")
            await reader.until(1, "translation_status")
            room.final("two", "b")
            await room.settled()

    assert room.translator.texts[0] == "one"
    assert "one" not in room.translator.texts[1:]


async def test_a_late_answer_neither_follows_the_final_nor_a_retraction(room: Room) -> None:
    reader = room.reader()
    room.translator.open.clear()
    room.partial("one", "a")
    room.partial("two", "b")
    await room.translator.until_called(2)
    room.final("one and more", "a")
    room.partial("", "b")
    await room.settled()
    room.translator.open.set()
    await reader.until(1)
    await room.settled()

    assert reader.translated == [("fr: one and more", True)]


async def test_nothing_is_done_for_nobody(room: Room) -> None:
    room.viewer()
    with ExitStack() as stack:
        room.reader(stack=stack)
    room.final("one")
    await room.settled()

    assert room.translator.calls == []
    assert not room.talk.observers


async def test_what_waits_is_dropped_with_the_last_reader() -> None:
    room = Room(TranslationPolicy(calls=1))
    async with room.translations:
        room.translator.open.clear()
        with ExitStack() as stack:
            room.reader(stack=stack)
            room.final("one", "a")
            room.final("two", "b")
            await room.translator.until_called(1)
        room.translator.open.set()
        await room.settled()

    assert room.translator.texts == ["one"]


async def test_a_language_is_not_translated_into_itself(room: Room) -> None:
    reader = room.reader("en")
    room.partial("hello", language="en-US")
    room.final("hello", language="en-GB")
    await room.settled()

    assert room.translator.calls == []
    assert reader.of("translation") == []


async def test_a_partial_in_a_wrong_language_does_not_stay_translated(
    room: Room,
) -> None:
    reader = room.reader("fr")
    room.partial("bon jour", language="en-US")
    await reader.until(1)
    room.final("bonjour", language="fr-FR")
    await reader.until(2)

    assert room.translator.texts == ["bon jour"]
    assert reader.translated[1] == ("bonjour", True)


async def test_a_partial_in_a_wrong_language_is_replaced_while_it_is_spoken(
    room: Room,
) -> None:
    reader = room.reader("en")
    room.partial("good", language="fr-FR")
    await reader.until(1)
    room.partial("good mor", language="en-US")
    room.partial("good morning", language="en-US")
    room.final("good morning everybody", language="en-US")
    await reader.until(4)

    assert room.translator.texts == ["good"]
    assert reader.translated == [
        ("en: good", False),
        ("good mor", False),
        ("good morning", False),
        ("good morning everybody", True),
    ]


async def test_the_translation_of_a_wrong_language_does_not_follow_the_right_one(
    room: Room,
) -> None:
    reader = room.reader("en")
    room.translator.open.clear()
    room.partial("bon", language="fr-FR")
    await room.translator.until_called(1)
    room.partial("born", language="en-US")
    room.partial("bonjour", language="fr-FR")
    await room.settled()
    room.translator.open.set()
    await reader.until(1)

    assert reader.translated == [("en: bonjour", False)]


async def test_a_language_that_is_not_known_is_asked_for_once_and_each_final_is_missing(
    room: Room,
) -> None:
    reader = room.reader()
    before = missing()
    room.translator.errors = [UnsupportedPair("no")]
    room.final("kaixo", "a", language="eu-ES")
    await reader.until(1, "translation_status")
    room.final("agur", "b", language="eu-ES")
    room.final("hello", "c")
    await reader.until(1)
    room.final("eskerrik asko", "d", language="eu-ES")
    await reader.until(3, "translation_status")
    room.reader()
    await room.settled()

    assert room.translator.texts == ["kaixo", "hello"]
    assert reader.states == ["failing", "ok", "failing"]
    assert missing() - before == 3, "and not again for who comes later"


async def test_a_partial_in_an_unknown_language_misses_nothing(room: Room) -> None:
    reader = room.reader()
    room.translator.errors = [UnsupportedPair("no")]
    room.partial("al", language="eu-ES")
    await room.translator.until_called(1)
    room.final("all", language="en-US")
    await reader.until(1)

    assert reader.states == []
    assert reader.translated == [("fr: all", True)]


async def test_a_detected_language_is_named_and_the_viewers_own_stays_as_it_is() -> None:
    room = Room(detects=True)
    async with room.translations:
        with room.stack:
            reader = room.reader("fr")
            room.final("goedemorgen", "u", language="en-US")
            room.final("! bonjour", "v", language="en-US")
            room.final("! salut", "w", language="fr-FR")
            await reader.until(3)

    answers = [(m["text"], m["sourceLanguage"]) for m in reader.of("translation")]
    assert answers == [("fr: goedemorgen", "nl"), ("! bonjour", "fr"), ("! salut", "fr")]


async def test_an_undetected_language_keeps_no_other_from_being_translated() -> None:
    room = Room(detects=True)
    async with room.translations:
        with room.stack:
            reader = room.reader("fr")
            room.translator.errors = [Undetected("unsure")]
            room.final("hm", "u")
            await reader.until(1, "translation_status")
            room.final("goedemorgen", "v")
            await reader.until(1)

    assert reader.translated == [("fr: goedemorgen", True)]
    assert reader.states == ["failing", "ok"]


async def test_two_languages_do_not_mix(room: Room) -> None:
    french, german = room.reader("fr"), room.reader("de")
    room.final("one")
    await french.until(1)
    await german.until(1)

    assert (french.translated, german.translated) == ([("fr: one", True)], [("de: one", True)])
    assert len(room.translator.calls) == 2


async def test_who_joins_late_gets_the_past_and_it_costs_once(room: Room) -> None:
    room.final("one", "a")
    room.final("two", "b")
    first = room.reader()
    await first.until(2)
    second = room.reader()

    assert sorted(room.translator.texts) == ["one", "two"]
    assert sorted(first.translated) == [("fr: one", True), ("fr: two", True)]
    assert second.translated == [("fr: one", True), ("fr: two", True)], "at once"
    assert {m["seq"] for m in second.of("translation")} == {2}


async def test_who_comes_back_costs_nothing(room: Room) -> None:
    with ExitStack() as stack:
        first = room.reader(stack=stack)
        room.final("one")
        await first.until(1)
    room.hub.sweep()
    again = room.reader()

    assert room.translator.texts == ["one"]
    assert again.translated == [("fr: one", True)]


async def test_what_another_server_stored_is_translated(room: Room) -> None:
    theirs = utterance(text="from afar", timestamp=datetime.now(UTC) - timedelta(seconds=1))

    class Table:
        def read(self, *_: object) -> Iterator[Utterance]:
            return iter([theirs])

    reader = room.reader()
    await TableUpdates(room.hub, Table()).refresh("talk")
    await reader.until(1)

    assert reader.translated == [("fr: from afar", True)]


async def test_a_conversation_that_is_over_is_forgotten(room: Room) -> None:
    with ExitStack() as stack:
        reader = room.reader(stack=stack)
        room.partial("one")
        await reader.until(1)
    room.hub.sweep()
    await room.settled()

    assert len(room.translations._interpreters) == 0


async def test_a_shutdown_waits_for_no_call_and_leaves_none_behind() -> None:
    room = Room(TranslationPolicy(call_seconds=3_600))
    before = asyncio.all_tasks()
    async with asyncio.timeout(10), room.translations:
        room.translator.open.clear()
        with room.stack:
            room.reader()
            room.final("one")
            await room.translator.until_called(1)

    assert asyncio.all_tasks() == before


def test_what_is_remembered_is_bounded() -> None:
    cache = TranslationCache(20)
    for n in range(10):
        cache.put(("en", f"text{n}"), Translated("texte", "en"))
        cache.get(("en", "text0"))

    known = [n for n in range(10) if cache.get(("en", f"text{n}"))]
    assert known == [0, 9]


async def test_without_a_translator_there_is_no_language() -> None:
    nobody = Translations(None)

    assert (nobody.translator, nobody.languages, nobody.target("fr")) == (None, (), None)
