"""What breaks during a drill, at random moments from a seed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from tests.drill.lines import Balancer
from tests.drill.tasks import ServiceTask
from tests.drill.viewer import DrillViewer
from tests.support.cloud import Cloud

#: Between two faults, seconds.
EVERY = (1.0, 4.0)
#: How long a task is frozen, seconds: shorter and longer than a line may be silent.
FROZEN = (1.0, 15.0)
#: How long queue, table and ledger are away, seconds.
AWAY = 30.0


class Faults:
    """Breaks one thing after the other; `done` counts."""

    def __init__(
        self,
        draw: random.Random,
        balancer: Balancer,
        tasks: Sequence[ServiceTask],
        viewers: Sequence[DrillViewer],
        cloud: Cloud,
    ) -> None:
        self.done: Counter[str] = Counter()
        self._draw = draw
        self._balancer = balancer
        self._tasks = list(tasks)
        self._viewers = viewers
        self._cloud = cloud
        #: Tasks that nothing is done to at present.
        self._whole = list(tasks)
        self._background: set[asyncio.Task[None]] = set()

    async def rage(self, seconds: float, *, with_outage: bool) -> None:
        """Break things for so many seconds, then wait until all is whole again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        if with_outage:
            self._start(self._take_the_cloud_away(self._draw.uniform(0, max(0, seconds - AWAY))))
        kinds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self._cut_some_lines),
            (3, self._silence_some_lines),
            (3, self._stall_some_viewers),
            (2, self._kill_a_task),
            (2, self._freeze_a_task),
            (1, self._deploy),
        ]
        while loop.time() < end:
            await asyncio.sleep(self._draw.uniform(*EVERY))
            (break_something,) = self._draw.choices(
                [kind for _, kind in kinds], [weight for weight, _ in kinds]
            )
            await break_something()
        if self._background:
            await asyncio.wait(self._background)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _cut_some_lines(self) -> None:
        lines = list(self._balancer.lines)
        for line in self._draw.sample(lines, len(lines) // self._draw.choice([5, 20, 50])):
            line.cut()
            self.done["lines cut"] += 1

    async def _silence_some_lines(self) -> None:
        lines = list(self._balancer.lines)
        for line in self._draw.sample(lines, len(lines) // 20):
            line.silence(self._draw.choice(["up", "down"]))
            self.done["lines silenced"] += 1

    async def _stall_some_viewers(self) -> None:
        stalled = self._draw.sample(self._viewers, len(self._viewers) // 20)
        self.done["viewers stalled"] += len(stalled)

        async def stall() -> None:
            for viewer in stalled:
                viewer.reads.clear()
            await asyncio.sleep(self._draw.uniform(1, 12))
            for viewer in stalled:
                viewer.reads.set()

        self._start(stall())

    async def _kill_a_task(self) -> None:
        task = self._take_one()
        if task is None:
            return
        self.done["tasks killed with their disks"] += 1
        await task.kill()
        self._start(self._bring_back(task, self._draw.uniform(0.5, 5)))

    async def _freeze_a_task(self) -> None:
        task = self._take_one()
        if task is None:
            return
        self.done["tasks frozen"] += 1

        async def freeze() -> None:
            await task.freeze(self._draw.uniform(*FROZEN))
            self._whole.append(task)

        self._start(freeze())

    async def _deploy(self) -> None:
        """Replace all tasks, one after the other, as a rolling deployment does."""
        if len(self._whole) < len(self._tasks):
            return
        self.done["rolling deployments"] += 1
        self._whole.clear()

        async def deploy() -> None:
            for task in self._tasks:
                code = await task.drain()
                self.done[f"drains that ended with {code}"] += 1
                await task.start()
            self._whole.extend(self._tasks)

        self._start(deploy())

    async def _take_the_cloud_away(self, after: float) -> None:
        """Freeze the emulator: queue, table, ledger and processor are away together."""
        await asyncio.sleep(after)
        self.done["queue, table and ledger away for 30 s"] += 1
        os.kill(self._cloud.emulator.pid, signal.SIGSTOP)
        await asyncio.sleep(AWAY)
        os.kill(self._cloud.emulator.pid, signal.SIGCONT)

    def _take_one(self) -> ServiceTask | None:
        """Return a task to break, if another one stays whole."""
        if len(self._whole) < 2:
            return None
        task = self._draw.choice(self._whole)
        self._whole.remove(task)
        return task

    async def _bring_back(self, task: ServiceTask, after: float) -> None:
        await asyncio.sleep(after)
        await task.start()
        self._whole.append(task)
