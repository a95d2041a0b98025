"""Let 50 speakers and 500 viewers go through everything that breaks, and count what was lost.

    make drill                      # two minutes; SECONDS, SPEAKERS, VIEWERS, CONVERSATIONS, SEED

Two tasks of the service and the emulator run on this machine. The speakers say a known script at
the speed of speech. Meanwhile lines are cut and fall silent, tasks are killed with their disks,
frozen and replaced, viewers stall, and queue, table and ledger are away for half a minute. In the
end the table has to equal the script to the sample, and each viewer has to show each final of its
conversation once, all in the same order. The exit code is 1 if anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from foundation.descriptors import raise_descriptor_limit
from speech.engines.scripted import ScriptedModel
from tests.drill.faults import Faults
from tests.drill.lines import balancer
from tests.drill.speaker import DrillSpeaker
from tests.drill.tasks import SEGMENT_WORDS, WORD_SECONDS, ServiceTask
from tests.drill.verdict import Screens, Words, check_screens, check_words, describe
from tests.drill.viewer import DrillViewer
from tests.support.cloud import Cloud, cloud_of_one_machine
from transcripts.models import Utterance

#: How long speakers may take beyond what they have to say, seconds.
PATIENCE = 180.0
#: How long the last finals may take to the viewers, seconds.
LATE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a drill does. `with_outage` takes queue, table and ledger away once."""

    seconds: float = 120.0
    speakers: int = 50
    viewers: int = 500
    conversations: int = 10
    seed: int = 1
    with_outage: bool = True


@dataclass
class Found:
    """What a drill found."""

    plan: Plan
    words: list[Words] = field(default_factory=list)
    screens: list[Screens] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost, doubled or shown in another order."""
        return (
            not self.errors
            and len(self.words) == self.plan.speakers
            and all(one.is_right for one in self.words)
            and all(one.is_right for one in self.screens)
        )

    def __str__(self) -> str:
        plan, words, screens = self.plan, self.words, self.screens
        said = Counter[str]()
        for one in words:
            said.update(spoken=one.spoken, lost=one.lost, doubled=one.doubled, wrong=one.wrong)
        shown = Counter[str]()
        for each in screens:
            shown.update(missing=each.missing, unknown=each.unknown, order=each.disordered)
        return f"""\
Seed {plan.seed}: {plan.speakers} speakers and {plan.viewers} viewers in {plan.conversations} \
conversations, {plan.seconds:g} s of speech.
What was done:
{describe(self.faults)}
What the clients did:
{describe(self.clients)}
Words of {len(words)} streams: {said["spoken"]} spoken, {said["lost"]} lost, \
{said["doubled"]} doubled, {said["wrong"]} elsewhere or other ones.
Screens: {shown["missing"]} finals missing, {shown["unknown"]} that the table does not have, \
{shown["order"]} viewers with another order.
{"".join(f"{error}{chr(10)}" for error in self.errors)}\
{"Nothing was lost." if self.is_right else "SOMETHING WAS LOST."}"""


async def run(plan: Plan, folder: Path, progress: Callable[[str], None]) -> Found:
    """Do a drill with an emulator on `folder`."""
    raise_descriptor_limit(10_000)
    draw = random.Random(plan.seed)  # noqa: S311 - no secret
    found = Found(plan)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(cloud_of_one_machine(folder))
        between = await stack.enter_async_context(balancer(draw))
        tasks = [ServiceTask(cloud, between), ServiceTask(cloud, between)]
        for task in tasks:
            stack.push_async_callback(task.stop)
            await task.start()
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        rooms = [f"drill-{plan.seed}-{number}" for number in range(plan.conversations)]
        speakers = [
            DrillSpeaker(between.url, rooms[number % len(rooms)], plan.seconds)
            for number in range(plan.speakers)
        ]
        viewers = [
            DrillViewer(session, between.url, rooms[number % len(rooms)])
            for number in range(plan.viewers)
        ]
        watching = [asyncio.create_task(viewer.run()) for viewer in viewers]
        progress(f"{len(viewers)} viewers and {len(speakers)} speakers are on their way ...")
        speaking = [asyncio.create_task(speaker.run()) for speaker in speakers]
        faults = Faults(draw, between, tasks, viewers, cloud)
        await faults.rage(plan.seconds * 0.9, with_outage=plan.with_outage)
        progress("all is whole again; waiting for the last words ...")
        late = (await asyncio.wait(speaking, timeout=PATIENCE))[1]
        found.errors += [f"{len(late)} speakers did not end"] if late else []
        await _wait_for_screens(cloud, rooms, viewers)
        for each in (*watching, *speaking):
            each.cancel()
        await asyncio.gather(*watching, *speaking, return_exceptions=True)
        found.faults = faults.done
        _judge(found, cloud, rooms, speakers, viewers)
    return found


async def _wait_for_screens(
    cloud: Cloud, rooms: Sequence[str], viewers: Sequence[DrillViewer]
) -> None:
    """Wait until every viewer has as many finals as the table, at most `LATE` seconds."""
    for _ in range(round(LATE / 2)):
        await asyncio.sleep(2)
        stored = {room: len(await asyncio.to_thread(_stored, cloud, room)) for room in rooms}
        if all(len(viewer.finals) >= stored[viewer.conversation_id] for viewer in viewers):
            return


def _stored(cloud: Cloud, room: str) -> list[Utterance]:
    return list(cloud.table.read(room))


def _judge(
    found: Found,
    cloud: Cloud,
    rooms: Sequence[str],
    speakers: Sequence[DrillSpeaker],
    viewers: Sequence[DrillViewer],
) -> None:
    model = ScriptedModel(word_seconds=WORD_SECONDS, words_per_segment=SEGMENT_WORDS)
    for room in rooms:
        stored = _stored(cloud, room)
        by_stream = check_words(stored, model.list_words(), WORD_SECONDS, found.plan.seconds)
        found.words += by_stream.values()
        screens = [viewer.screen for viewer in viewers if viewer.conversation_id == room]
        found.screens.append(check_screens(stored, screens))
    found.clients = Counter(
        {
            "connections of speakers that were made again": sum(s.retries for s in speakers),
            "streams that could not be resumed": sum(s.new_streams for s in speakers),
            "seconds of audio without room": round(sum(s.lost for s in speakers)),
            "connections of viewers": sum(v.connections for v in viewers),
            "finals that came again to a viewer": sum(v.repeats for v in viewers),
            "finals that came again in other words": sum(v.changed for v in viewers),
            "gaps": sum(v.gaps for v in viewers),
        }
    )
    found.errors += [f"a speaker ended: {s.error}" for s in speakers if s.error]
    if found.clients["finals that came again in other words"] or found.clients["gaps"]:
        found.errors.append("finals changed, or were left out")


def _parse(arguments: Sequence[str] | None) -> Plan:
    parser = argparse.ArgumentParser(
        prog="python -m tests.drill", description=(__doc__ or "").partition("\n")[0]
    )
    standard = Plan()
    parser.add_argument("--seconds", type=float, default=standard.seconds, help="of speech")
    for name in ("speakers", "viewers", "conversations", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(standard, name))
    parser.add_argument("--no-outage", dest="with_outage", action="store_false")
    return Plan(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do a drill and print what it found; return the exit code."""
    plan = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        found = asyncio.run(run(plan, Path(folder) / "aws", lambda line: print(line, flush=True)))
    print(found)
    return 0 if found.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
