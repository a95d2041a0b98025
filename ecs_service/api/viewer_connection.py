"""The socket of a viewer, `/api/stt/connect`: a snapshot, then the conversation as it goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from picows import WSMsgType

from access.decisions import Action
from ecs_service.access.door import Admission, Wish
from ecs_service.api.live import LiveConnection, LiveContext
from ecs_service.api.requests import HttpRequest
from ecs_service.conversations.catching_up import CatchingUp
from ecs_service.conversations.hub import Conversation
from ecs_service.conversations.positions import MalformedPosition, Position
from ecs_service.conversations.remembered import KnownFinal, in_order, pieces_of
from ecs_service.conversations.table_updates import READ_TIMEOUT_SECONDS
from ecs_service.limits.backlog import Backlog
from ecs_service.limits.callers import ConnectedClient
from ecs_service.refusal import Refusal
from transcripts.models import ConversationId, Language
from transcripts.protocol import (
    CLOSE_GOING_AWAY,
    DEAD_SECONDS,
    HEARTBEAT_SECONDS,
    LIVE_SECONDS,
    SNAPSHOT_UTTERANCES,
    ConnectParameters,
    ErrorCode,
)

#: A viewer that acknowledges nothing of what was sent for this long is disconnected, in seconds.
UNREAD_SECONDS = 3 * HEARTBEAT_SECONDS
#: How often the table is asked again for a viewer who lacks something, in seconds.
RETRY_SECONDS = 5.0
#: How long a viewer may take to read what he lacks, in seconds. What comes meanwhile is remembered.
CATCH_UP_SECONDS = 60.0


def parse_wish(request: HttpRequest) -> Wish:
    """Return what a viewer's request needs a right for.

    Raises:
        Refusal: its query is malformed.
    """
    wanted = request.parameters(ConnectParameters)
    return Wish(Action.READ, wanted.conversation_id, wanted.language)


class ViewerConnection(LiveConnection):
    """Sends a conversation to a viewer."""

    def __init__(
        self, live: LiveContext, request: HttpRequest, client: ConnectedClient, admission: Admission
    ) -> None:
        super().__init__(live, client, admission)
        self._request = request
        self._has_read = asyncio.Event()
        self._has_read.set()
        #: Whether bytes wait in the transport; then messages wait in the backlog.
        self._is_behind = False
        self._backlog = Backlog()

    async def serve(self) -> None:
        """Send the conversation until the viewer goes."""
        wanted = self._request.parameters(ConnectParameters)
        since = _parse_position(wanted.since) if wanted.since is not None else None
        async with self.admitted():
            await self._serve_conversation(wanted, since)

    async def _serve_conversation(self, wanted: ConnectParameters, since: Position | None) -> None:
        if self._live.streams.slots.is_draining:
            raise Refusal(ErrorCode.DRAINING, "The service is shutting down.", retry_after=1.0)
        target = self._target_language(wanted)
        with (
            self._live.viewers.hold(wanted.conversation_id),
            self._client.connection.protect(),
            self._live.unread.track(self),
        ):
            self._set_user_timeout()
            self.resume_reading()
            await self._send_until_end(wanted, since, target)

    async def _send_until_end(
        self, wanted: ConnectParameters, since: Position | None, target: Language | None
    ) -> None:
        sending = asyncio.create_task(
            self._send_live(wanted, since, target)
            if wanted.mode == "live"
            else self._send_snapshots(wanted.conversation_id)
        )
        sending.add_done_callback(self.end_if_failed)
        try:
            if await self.wait_until_ended() == "draining":
                self.close(CLOSE_GOING_AWAY)
        finally:
            sending.cancel()

    def deliver(self, frame: bytes) -> None:
        """Send one text frame, or have it wait if the viewer is behind.

        If too many bytes wait for him or for all viewers, the connection is ended. In the second
        case it is aborted at once, to free their memory.
        """
        if self._closed:
            return
        if not self._is_behind:
            self._transport.send(WSMsgType.TEXT, frame)
            return
        backlog = self._backlog
        if backlog.is_full:
            self._closed = True
            self.end(Refusal(ErrorCode.SLOW_CONSUMER, "Too many messages wait to be read."))
            return
        backlog.add(frame)
        waiting = self._tcp.get_write_buffer_size() + backlog.bytes
        if not self._live.unread.allows(self, waiting):
            self._closed = True
            message = "Too many messages wait to be read by too many viewers."
            self.end(Refusal(ErrorCode.SLOW_CONSUMER, message))
            self._tcp.abort()

    def pause_writing(self) -> None:
        """Have messages wait here, because bytes wait in the transport."""
        self._is_behind = True
        self._has_read.clear()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Send what waits, until bytes wait in the transport again."""
        super().resume_writing()
        self._is_behind = False
        while self._backlog and not self._is_behind and not self._closed:
            self._transport.send(WSMsgType.TEXT, self._backlog.take())
        if not self._is_behind:
            self._has_read.set()
            self._live.unread.allows(self, 0)

    def _set_user_timeout(self) -> None:
        """Have the kernel disconnect a viewer that acknowledges nothing for `UNREAD_SECONDS`.

        Otherwise a viewer whose network is gone holds its slot for a quarter of an hour. (Linux;
        RFC 5482 describes the timeout.)
        """
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            connection = self._tcp.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, option, round(UNREAD_SECONDS * 1000))

    def on_binary(self, message: bytes) -> None:
        """Refuse any message."""
        del message
        raise Refusal(ErrorCode.UNEXPECTED_MESSAGE, "A viewer only listens.")

    def on_text(self, message: bytes) -> None:
        """Refuse any message."""
        self.on_binary(message)

    def _target_language(self, wanted: ConnectParameters) -> Language | None:
        """Return the language that the viewer wants translations in; None for originals alone.

        Raises:
            Refusal: it cannot be translated into, or not in this mode.
        """
        if wanted.language is None:
            return None
        if wanted.mode != "live":
            message = "There are translations with `mode=live` only."
            raise Refusal(ErrorCode.INVALID_PARAMETER, message)
        translations = self._live.translations
        target = translations.target(wanted.language)
        if target is None:
            offered = ", ".join(translations.languages) or "no language: there is no translator"
            message = f"Not translated into {wanted.language}, but into {offered}."
            raise Refusal(ErrorCode.UNSUPPORTED_LANGUAGE, message)
        return target

    async def _send_live(
        self, wanted: ConnectParameters, since: Position | None, target: Language | None
    ) -> None:
        hub = self._live.hub
        with hub.add_viewer(wanted.conversation_id) as conversation, ExitStack() as stack:
            join = partial(hub.add_subscriber, conversation.id, self, is_prompt=wanted.heartbeat)
            catching_up = CatchingUp(self._live.updates, conversation, since)
            # Who asks for a message every second takes a line for dead that is silent for longer.
            patience = DEAD_SECONDS - LIVE_SECONDS if wanted.heartbeat else READ_TIMEOUT_SECONDS
            is_complete = await catching_up.read(patience)
            if not is_complete and catching_up.goes_on:
                stack.enter_context(join(is_lagging=True))
                known = catching_up.missing()[-SNAPSHOT_UTTERANCES:]
                frame = conversation.snapshot_frame(known, complete=False, position=wanted.since)
                self.deliver(frame)
                self._translate(conversation, known, target, stack)
                while not is_complete and catching_up.goes_on:
                    await asyncio.sleep(RETRY_SECONDS)
                    is_complete = await catching_up.read(READ_TIMEOUT_SECONDS)
            finals = await self._send_pieces(conversation, catching_up)
            # No await from here on: the next message is the first that is not in the snapshot.
            if self in conversation.lagging:
                conversation.catch_up(self)
            else:
                stack.enter_context(join())
            frame = conversation.snapshot_frame(
                finals,
                complete=is_complete,
                position=conversation.position(),
                gap=catching_up.has_gap,
            )
            self.deliver(frame)
            self._translate(conversation, finals, target, stack)
            await self.wait_until_gone()

    async def _send_pieces(
        self, conversation: Conversation, catching_up: CatchingUp
    ) -> Sequence[KnownFinal]:
        """Send what the viewer lacks in pieces, as fast as he reads; return the last piece unsent.

        Raises:
            Refusal: the viewer does not read.
        """
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while True:
                    finals = catching_up.missing()
                    *pieces, last = pieces_of(finals) if catching_up.goes_on else [finals]
                    if not pieces:
                        return last
                    for piece in pieces:
                        self.deliver(conversation.snapshot_frame(piece, more=True))
                        catching_up.note_sent(piece)
                        await self._has_read.wait()
        except TimeoutError:
            message = "What was missing was not read in time."
            raise Refusal(ErrorCode.SLOW_CONSUMER, message) from None

    def _translate(
        self,
        conversation: Conversation,
        finals: Sequence[KnownFinal],
        target: Language | None,
        stack: ExitStack,
    ) -> None:
        """Deliver translations from now on, also of `finals` and of the last two minutes.

        A final counts as received before its translation was sent, so the latest are sent again.
        """
        if target is None:
            return
        chosen = {final.utterance_id: final for final in (*finals, *conversation.latest())}
        snapshot = conversation.snapshot(complete=True, finals=in_order(chosen.values()))
        reading = self._live.translations.add_reader(conversation, target, self, snapshot)
        stack.enter_context(reading)

    async def _send_snapshots(self, conversation_id: ConversationId) -> None:
        with self._live.hub.add_viewer(conversation_id) as conversation:
            while True:
                complete = await self._live.updates.refresh(conversation_id)
                latest = conversation.latest()
                self.deliver(conversation.snapshot_frame(latest, complete=complete))
                await asyncio.sleep(HEARTBEAT_SECONDS)


def _parse_position(text: str) -> Position:
    """Return the position that a viewer sends.

    Raises:
        Refusal: it is none.
    """
    try:
        return Position.parse(text)
    except MalformedPosition:
        message = "since: must be a `position` that this service has sent."
        raise Refusal(ErrorCode.INVALID_PARAMETER, message) from None
