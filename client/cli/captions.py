"""Print the captions of a stream or of a conversation."""

from __future__ import annotations

import json
import re

from client.cli.printing import Printer
from client.live.connection import Received
from client.live.following import Caption, Gap, News
from client.live.translating import CaptionLine
from transcripts.models import Utterance
from transcripts.protocol import Final, Partial, Translation


class CaptionPrinter:
    """Prints captions as lines, or as JSON if `printer.as_json`.

    `interim_results` prints partials too, not only finals.
    """

    def __init__(self, printer: Printer, *, interim_results: bool) -> None:
        self._printer = printer
        self._interim_results = interim_results

    def print_received(self, received: Received) -> None:
        """Print a message that a speaker received; as JSON, the text that the service sent."""
        message = received.message
        if isinstance(message, Final) or (isinstance(message, Partial) and self._interim_results):
            if self._printer.as_json:
                self._printer.print_json(received.text)
            else:
                self._printer.print_result(speaker_line(message))

    def print_found(self, utterance: Utterance) -> None:
        """Print a final that its speaker did not receive when it was published."""
        if self._printer.as_json:
            self.print_news(utterance)
        else:
            self._printer.print_result(speaker_line(utterance))

    def print_news(self, news: News) -> None:
        """Print a message that a viewer received; without JSON, only if it is a caption."""
        if _is_partial(news) and not self._interim_results:
            return
        if isinstance(news, Gap):
            self._print_gap(news)
        elif self._printer.as_json:
            fields = news.model_dump(mode="json", by_alias=True, exclude_none=True)
            self._printer.print_json(json.dumps({"type": "final"} | fields, ensure_ascii=False))
        elif isinstance(news, Partial | Final | Utterance):
            self.print_line(CaptionLine(news))

    def _print_gap(self, gap: Gap) -> None:
        self._printer.print_event("gap", conversationId=gap.conversation_id)
        if not self._printer.as_json:
            self._printer.print_note(
                "Here captions are missing, for the connection was away too long; `python -m "
                "client transcript` shows what is stored."
            )

    def print_line(self, line: CaptionLine) -> None:
        """Print a caption that a viewer received, or its translation if it has one."""
        if self._interim_results or not isinstance(line.caption, Partial):
            self._printer.print_result(viewer_line(line))


def speaker_line(caption: Caption) -> str:
    """Return a caption as a line for its speaker, without the speaker's name."""
    detail = _detail(caption)
    return f"{detail}: {_text(caption)}" if detail else _text(caption)


def viewer_line(line: CaptionLine) -> str:
    """Return a caption as a line for viewers, after the name of its speaker."""
    caption, translation = line.caption, line.translation
    speaker = " · ".join(filter(None, (caption.speaker, _detail(caption))))
    language = f" [{caption.language}]" if line.foreign else ""
    return f"{speaker}{language}: {_text(caption, translation.text if translation else None)}"


def _is_partial(news: News) -> bool:
    if isinstance(news, Translation):
        return not news.is_final
    return isinstance(news, Partial)


def _text(caption: Caption, translated: str | None = None) -> str:
    """Return the text of a caption or its translation; a partial begins with `...`."""
    text = caption.text if translated is None else translated
    return f"... {text}" if isinstance(caption, Partial) else text


def _detail(caption: Caption) -> str:
    """Return what distinguishes speakers of one name, e.g. `left` or `speaker 1`, or nothing."""
    side = None if caption.channel is None else ("left", "right")[caption.channel]
    # Engines count from spk_0, people from one.
    label = re.sub(
        r"^spk_(\d+)$", lambda found: f"speaker {int(found[1]) + 1}", caption.speaker_label or ""
    )
    return " · ".join(filter(None, (side, label)))
