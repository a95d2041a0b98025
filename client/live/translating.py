"""Decides when each caption is printed for a viewer who reads another language.

A final waits for its translation, so that each is one line and all are in the order in which they
were spoken. It waits for a limited time, because a translation may be late or never come.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

from client.live.following import Caption, Gap, News
from transcripts.models import Utterance
from transcripts.protocol import Final, Partial, Translation, TranslationStatus

#: A final without a translation is shown in its own language after this time, seconds.
PATIENCE = 10.0
#: Partials whose speakers are remembered until their translation comes.
_OPEN = 100


@dataclass(frozen=True, slots=True)
class CaptionLine:
    """A caption with its translation; `foreign` marks one whose translation is missing."""

    caption: Caption
    translation: Translation | None = None
    foreign: bool = False


@dataclass(slots=True)
class _Waiting:
    caption: Final | Utterance
    until: float
    line: CaptionLine | None = None


class Held:
    """The finals that wait for their translation, in the order in which they came."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._open: OrderedDict[str, Partial] = OrderedDict()

    @property
    def due(self) -> float | None:
        """The time at which `late` yields the next line, on the clock of `take`."""
        return next((final.until for final in self._waiting.values()), None)

    def take(self, news: Caption | Translation, now: float) -> Iterator[CaptionLine]:
        """Yield the lines that can be shown now; `now` in seconds, of any clock."""
        if isinstance(news, Translation):
            yield from self._translate(news)
        elif isinstance(news, Partial):
            yield from self._show_partial(news)
        else:
            self._open.pop(news.utterance_id, None)
            final = _Waiting(news, now + PATIENCE)
            if is_readable(news.language, self._language):
                final.line = CaptionLine(news)
            self._waiting[news.utterance_id] = final
        yield from self._ready()

    def late(self, now: float) -> Iterator[CaptionLine]:
        """Yield overdue finals untranslated, and the translated finals that they held up."""
        for final in self._waiting.values():
            if final.line is None and final.until <= now:
                final.line = CaptionLine(final.caption, foreign=True)
        yield from self._ready()

    def rest(self) -> Iterator[CaptionLine]:
        """Yield all waiting finals, because no more translations will come."""
        return self.late(float("inf"))

    def _translate(self, translation: Translation) -> Iterator[CaptionLine]:
        name = translation.utterance_id
        if not translation.is_final:
            if name in self._open:
                yield CaptionLine(self._open[name], translation)
        elif name in self._waiting:
            final = self._waiting[name]
            final.line = final.line or CaptionLine(final.caption, translation)

    def _show_partial(self, partial: Partial) -> Iterator[CaptionLine]:
        self._open.pop(partial.utterance_id, None)
        if is_readable(partial.language, self._language) or not partial.text:
            yield CaptionLine(partial)
            return
        self._open[partial.utterance_id] = partial
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)

    def _ready(self) -> Iterator[CaptionLine]:
        while self._waiting:
            name, first = next(iter(self._waiting.items()))
            if first.line is None:
                return
            del self._waiting[name]
            yield first.line


def is_readable(language: str, wanted: str) -> bool:
    """Return whether a reader of `wanted` understands the original, as `en-GB` for `en`.

    Chinese is written in two ways, which only the whole tag distinguishes.
    """
    first = language.partition("-")[0]
    return language == wanted or (first == wanted and first != "zh")


async def translated(
    news: AsyncGenerator[News, None], held: Held
) -> AsyncGenerator[CaptionLine | TranslationStatus | Gap, None]:
    """Yield captions in the order in which `held` releases them; status and gaps at once.

    Raises:
        ClientError: what `news` raises.
    """
    clock = asyncio.get_running_loop().time
    coming = asyncio.ensure_future(anext(news, None))
    try:
        while True:
            wait = None if held.due is None else max(0.0, held.due - clock())
            await asyncio.wait({coming}, timeout=wait)
            if not coming.done():
                for line in held.late(clock()):
                    yield line
                continue
            one = coming.result()
            if one is None:
                return
            coming = asyncio.ensure_future(anext(news, None))
            if isinstance(one, TranslationStatus | Gap):
                yield one
            else:
                for line in held.take(one, clock()):
                    yield line
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
