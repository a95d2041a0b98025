"""Send audio as one stream and print what is recognised: the part that `stream` and `mic` share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from client.accounts.credentials import ShareLink
from client.cli import accounts
from client.cli.captions import CaptionPrinter
from client.cli.interrupts import cancel_this_task, on_interrupt
from client.cli.printing import Printer
from client.cli.progress import StreamBar
from client.errors import (
    ClientError,
    ConnectionLost,
    EndedByService,
    ExitCode,
    NoConnection,
    Refused,
    UsageError,
)
from client.live.audio import Microphone
from client.live.connection import Received, Speaker, no_ticket
from client.live.missed import Found, fetch_finals
from client.live.recording import Pace
from client.live.recovery import Attempt
from client.live.resuming import ResumingStream
from speech.pcm import PcmFormat
from transcripts.models import Utterance
from transcripts.protocol import TranscribeParameters

_ADVICE = {
    "max_duration": "it takes no longer streams.",
    "draining": "it is being restarted; try again in a moment.",
}


@dataclass(frozen=True, slots=True)
class AudioSource:
    """Where the audio comes from; `duration` is its length in seconds, if it is known."""

    frames: AsyncGenerator[bytes, None]
    pace: Pace
    duration: float | None = None
    microphone: Microphone | None = None


class StreamPrinter:
    """Prints what happens to a stream: captions on stdout, and notes on stderr."""

    def __init__(self, printer: Printer, captions: CaptionPrinter) -> None:
        self._printer = printer
        self._captions = captions

    def on_message(self, received: Received) -> None:
        """Print a caption."""
        self._captions.print_received(received)

    def on_found(self, utterance: Utterance) -> None:
        """Print a final that was published while there was no connection."""
        self._captions.print_found(utterance)

    def on_retry(self, error: ClientError, delay: float, kept: float) -> None:
        """Print why the connection ended, and how much audio waits for the next one."""
        self._printer.print_note(
            f"{error}; connecting again in {delay:.1f} s, {kept:.0f} s of audio kept"
        )

    def on_lost(self, seconds: float) -> None:
        """Print how much audio is lost."""
        self._printer.print_note(
            f"{seconds:.1f} s of audio are lost, because too much had to be kept."
        )

    def on_new_stream(self, seconds: float) -> None:
        """Print that the stream goes on as another one."""
        self._printer.print_note(
            "The stream cannot be resumed. A new one begins with what is not known to be "
            f"recognised, {seconds:.1f} s; a few words may come twice."
        )

    def on_missing(self, finals: int) -> None:
        """Print that the output is not complete."""
        self._printer.print_note(
            f"{finals} finals were recognised while there was no connection, and are not printed "
            "here. They are stored."
        )


def parse_link(link: str | None, conversation: str | None) -> ShareLink | None:
    """Return the share link that is to be used; None without one.

    Raises:
        UsageError: it is none, or of another conversation than the one that is named.
    """
    if link is None:
        return None
    shared = ShareLink.parse(link)
    if conversation not in {None, shared.conversation_id}:
        raise UsageError("--link: this link is for another conversation than the one that is named")
    return shared


async def speak(
    url: str,
    parameters: TranscribeParameters,
    source: AudioSource,
    *,
    link: str | None,
    title: str,
    printer: Printer,
    interim_results: bool,
) -> ExitCode:
    """Send all audio as one stream, over as many connections as it takes, and print the results.

    Raises:
        ClientError: see `client.errors`.
    """
    shared = parse_link(link, parameters.conversation_id)
    conversation, tickets = await accounts.find_tickets(
        url, parameters.conversation_id, "speak", shared, title
    )
    base = url if shared is None else shared.base
    wanted = parameters.model_copy(update={"conversation_id": conversation, "resume": True})

    def connect(attempt: Attempt) -> Speaker:
        known = attempt.conversation_id or conversation
        return Speaker(
            base,
            wanted.model_copy(update={"attempt": attempt.number, "conversation_id": known}),
            interim_results=interim_results,
            ticket=tickets if attempt.with_ticket else no_ticket,
            resume_token=attempt.token,
        )

    async def fetch(spoken_in: str, since: str | None) -> Found:
        _, readers = await accounts.find_tickets(url, spoken_in, "read", shared, "")
        return await fetch_finals(base, spoken_in, since, readers)

    stream = ResumingStream(
        connect,
        source.frames,
        StreamPrinter(printer, CaptionPrinter(printer, interim_results=interim_results)),
        audio=PcmFormat(parameters.sample_rate, parameters.channels),
        pace=source.pace,
        fetch=fetch,
    )
    if source.microphone is not None:
        source.microphone.on_pause = stream.note_pause
    return await _run(stream, printer, source.duration)


async def _run(stream: ResumingStream, printer: Printer, duration: float | None) -> ExitCode:
    """Run the stream until its end or Ctrl-C, and show its progress.

    Raises:
        ClientError: see `client.errors`.
    """
    cancel = cancel_this_task()
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if not stream.is_recording or interrupts > 1:
            cancel()
            return
        printer.print_note("Waiting for the last words; Ctrl-C again ends at once.")
        stream.interrupt()

    with StreamBar(printer) as bar, on_interrupt(interrupt):
        showing = asyncio.create_task(_update(bar, stream, duration))
        try:
            closed = await stream.run()
            bar.show(stream.progress, duration)
        except (ConnectionLost, NoConnection, Refused):
            if stream.unrecognised:
                printer.print_note(f"{stream.unrecognised:.1f} s of audio were not recognised.")
            raise
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
    if interrupts:
        return ExitCode.INTERRUPTED
    if closed.reason != "stopped":
        raise EndedByService(
            f"The service ended the stream after {closed.duration:.1f} s ({closed.reason}): "
            f"{_ADVICE[closed.reason]} The rest was not recognised."
        )
    if not max(closed.finals, stream.progress.finals):
        printer.print_note("No speech was recognised.")
    return ExitCode.OK


async def _update(bar: StreamBar, stream: ResumingStream, duration: float | None) -> None:
    while True:
        bar.show(stream.progress, duration, kept=stream.unrecognised)
        await asyncio.sleep(0.2)
