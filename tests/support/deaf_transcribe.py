"""Amazon Transcribe without ears: a WebSocket server that reads words in the samples.

It breaks off, freezes or talks nonsense after so many words, as a test asks for. Unlike
`transcribe_endpoint` it lets a test look at what each stream was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import parse_qs, urlsplit

from amazon_transcribe.eventstream import EventStreamBuffer
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from tests.support.transcribe_messages import exception, transcript

WORD_BYTES = 16_000  # half a second: it holds a word


class Stream(WSListener):
    """A stream as a service without ears sees it: `w7` is the eighth half second of its audio.

    A partial for each word; four words are a final. The words are read in the audio, whose
    samples are the number of the word, so that it knows what it is sent a second time.
    """

    def __init__(self, service: Service, fault: Fault) -> None:
        self._service = service
        self._fault = fault
        self._buffer = EventStreamBuffer()  # type: ignore[no-untyped-call] # the SDK's
        self.audio = b""
        self._words: list[str] = []
        self._recognised = 0
        self._deaf = False
        self._transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._service.streams.append(self)
        if len(self._service.streams) > 1:
            self._service.second.set()
        if self._fault.at_start is not None:
            self._send(self._fault.at_start)
            self._close()
        if self._fault.frozen:
            transport.underlying_transport.pause_reading()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        if frame.msg_type != WSMsgType.BINARY:
            return
        self._buffer.add_data(frame.get_payload_as_bytes())
        for event in self._buffer:
            pcm = cast("bytes", event.payload)
            if self._deaf:
                continue
            if pcm:
                self._recognise(pcm)
            else:
                self._finish()

    def _recognise(self, pcm: bytes) -> None:
        self.audio += pcm
        while len(self.audio) >= (self._recognised + 1) * WORD_BYTES:
            if self._recognised == self._fault.after_words:
                self._fail()
                return
            number = int.from_bytes(self.audio[self._recognised * WORD_BYTES :][:2], "little")
            self._words.append(f"w{number}")
            self._recognised += 1
            self._report(partial=len(self._words) < 4)

    def _report(self, *, partial: bool) -> None:
        end = self._recognised / 2
        start = end - len(self._words) / 2
        self._send(transcript(" ".join(self._words), start, end, partial=partial))
        if not partial:
            self._words.clear()

    def _finish(self) -> None:
        if self._fault.at_end is not None:
            self._fault.at_end(self)
            return
        if self._words:
            self._report(partial=False)
        self._close()

    def _fail(self) -> None:
        assert self._fault.how is not None
        how, self._fault = self._fault.how, NO_FAULT
        how(self)

    def _send(self, message: bytes) -> None:
        self._transport.send(WSMsgType.BINARY, message)

    def _close(self) -> None:
        self._deaf = True
        self._transport.send_close(WSCloseCode.OK)  # the client's answer ends the connection

    # --- faults -------------------------------------------------------------------------------

    def cut(self) -> None:
        self._transport.disconnect(graceful=False)

    def leave(self) -> None:
        self._close()

    def freeze(self) -> None:
        self._transport.underlying_transport.pause_reading()

    def raise_internal(self) -> None:
        self._send(exception("InternalFailureException", "Try again."))
        self._close()

    def send_noise(self) -> None:
        self._send(b"noise" * 100)

    def stall(self) -> None:
        self._deaf = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one stream."""

    status: int | None = None
    kind: str = ""
    text: str = ""
    at_start: bytes | None = None
    after_words: int | None = None
    how: Callable[[Stream], None] | None = None
    at_end: Callable[[Stream], None] | None = None
    frozen: bool = False


NO_FAULT = Fault()


@dataclass(slots=True)
class Service:
    """The service below; `faults` are those of the next streams."""

    faults: list[Fault] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    second: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def open(self, request: WSUpgradeRequest) -> Stream | WSUpgradeResponseWithListener:
        query = parse_qs(urlsplit(request.path.decode()).query)
        self.requests.append({name: values[0] for name, values in query.items()})
        fault = self.faults.pop(0) if self.faults else NO_FAULT
        if fault.status is not None:
            response = WSUpgradeResponse.create_error_response(
                fault.status,
                b'{"Message":"' + fault.text.encode() + b'"}',
                {"x-amzn-errortype": fault.kind},
            )
            return WSUpgradeResponseWithListener(response, None)
        return Stream(self, fault)
