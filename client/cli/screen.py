"""What people see: progress on stderr, captions on stdout."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from client.cli.output import echo, json_line, printable, printable_lines, safe_json
from client.live.connection import Received
from client.live.following import Caption, News
from client.live.speaking import Progress as StreamProgress
from client.live.translating import Line
from transcripts.models import Utterance
from transcripts.protocol import Final, Partial, Translation


class Screen:
    """Prints captions, and shows progress while it is entered if stderr is a terminal.

    `as_json` prints JSON, one message a line; `interim_results` prints partials too.
    """

    def __init__(self, *, as_json: bool, interim_results: bool) -> None:
        self._as_json = as_json
        self._interim_results = interim_results
        self._console = Console(stderr=True)
        self._both_here = self._console.is_terminal and sys.stdout.isatty()
        self._resources = ExitStack()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            progress = Progress(
                BarColumn(bar_width=30),
                TextColumn("{task.fields[position]}"),
                TextColumn("lag {task.fields[lag]}"),
                TextColumn("{task.fields[words]} words"),
                console=self._console,
                transient=True,
                redirect_stdout=False,  # it would go to stderr
            )
            self._progress = self._resources.enter_context(progress)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def show(self, progress: StreamProgress, duration: float | None) -> None:
        """Show how far a stream is; `duration` is the length of all audio in seconds.

        A header may announce another length than the audio has: at the end what was recognised
        is all there is.
        """
        if self._progress is None:
            return
        if progress.finished and duration is not None:
            duration = progress.processed
        position = f"{progress.processed:.1f}"
        fields: dict[str, Any] = {
            "position": f"{position} s" if duration is None else f"{position} of {duration:.1f} s",
            "lag": f"{progress.lag:.1f} s",
            "words": progress.words,
        }
        if self._task is None:
            self._task = self._progress.add_task("", total=duration, **fields)
        self._progress.update(self._task, completed=progress.processed, total=duration, **fields)

    def hear(self, received: Received) -> None:
        """Print a message to the speaker, as it came where JSON is wanted."""
        message = received.message
        if isinstance(message, Final) or (isinstance(message, Partial) and self._interim_results):
            self._say(safe_json(received.text) if self._as_json else printable(_own_line(message)))

    def news(self, news: News) -> None:
        """Print what a viewer is told: as JSON all of it, else captions as they were said."""
        if self._is_guess(news) and not self._interim_results:
            return
        if self._as_json:
            fields = news.model_dump(mode="json", by_alias=True, exclude_none=True)
            self._say(json_line({"type": "final"} | fields))
        elif isinstance(news, Partial | Final | Utterance):
            self.line(Line(news))

    def line(self, line: Line) -> None:
        """Print a caption to a viewer, in the language that he reads if it is there."""
        caption, translation = line.caption, line.translation
        if isinstance(caption, Partial) and not self._interim_results:
            return
        who = " · ".join(filter(None, (caption.speaker, _detail(caption))))
        if line.foreign:
            who += f" [{caption.language}]"
        text = _line(caption, translation.text if translation else None)
        self._say(printable(f"{who}: {text}"))

    def tell(self, line: str) -> None:
        """Tell people something on stderr."""
        self._console.print(Text(printable_lines(line)), soft_wrap=True)

    def _is_guess(self, news: News) -> bool:
        if isinstance(news, Translation):
            return not news.is_final
        return isinstance(news, Partial)

    def _say(self, line: str) -> None:
        if self._both_here:
            # Through the console, which knows where the progress line is. Text, because a
            # caption is never markup.
            self._console.print(Text(line), soft_wrap=True)
        else:
            echo(line)


def _own_line(caption: Caption) -> str:
    """Return a caption as a line for its speaker, who knows his name."""
    detail = _detail(caption)
    return f"{detail}: {_line(caption)}" if detail else _line(caption)


def _line(caption: Caption, text: str | None = None) -> str:
    """Return a caption, or `text` for it, as a line; a guess is marked as one."""
    shown = caption.text if text is None else text
    return f"... {shown}" if isinstance(caption, Partial) else shown


def _detail(caption: Caption) -> str:
    """Return what tells apart who shares a name, such as `left` or `speaker 1`, or nothing."""
    side = None if caption.channel is None else ("left", "right")[caption.channel]
    # Engines count from spk_0, people from one.
    label = re.sub(
        r"^spk_(\d+)$", lambda found: f"speaker {int(found[1]) + 1}", caption.speaker_label or ""
    )
    return " · ".join(filter(None, (side, label)))
