"""The socket of a viewer, `/api/stt/connect`: a snapshot, then the conversation as it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from access.decisions import Action
from ecs_service.access.door import Admission, Wish
from ecs_service.api.live import LiveConnection, LiveContext
from ecs_service.api.requests import HttpRequest
from ecs_service.limits.callers import ConnectedClient
from ecs_service.refusal import Refusal
from transcripts.models import ConversationId, Language
from transcripts.protocol import (
    CLOSE_GOING_AWAY,
    HEARTBEAT_SECONDS,
    ConnectParameters,
    ErrorCode,
    Heartbeat,
)

#: A viewer that acknowledges nothing of what was sent for this long is disconnected, in seconds.
UNREAD_SECONDS = 3 * HEARTBEAT_SECONDS


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

    async def serve(self) -> None:
        """Send the conversation until the viewer goes."""
        wanted = self._request.parameters(ConnectParameters)
        async with self.admitted():
            await self._serve_conversation(wanted)

    async def _serve_conversation(self, wanted: ConnectParameters) -> None:
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
            await self._send_until_end(wanted, target)

    async def _send_until_end(self, wanted: ConnectParameters, target: Language | None) -> None:
        sending = asyncio.create_task(
            self._send_live(wanted.conversation_id, target)
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
        """Send one text frame; end the connection if too many bytes wait for it or for all viewers.

        In the second case it is aborted at once, to free their memory.
        """
        waiting = self._tcp.get_write_buffer_size()
        if self._closed or self._live.unread.allows(self, waiting):
            super().deliver(frame)
        else:
            self._closed = True
            message = "Too many messages wait to be read by too many viewers."
            self.end(Refusal(ErrorCode.SLOW_CONSUMER, message))
            self._tcp.abort()

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

    async def _send_live(self, conversation_id: ConversationId, target: Language | None) -> None:
        complete = await self._live.updates.refresh(conversation_id)
        with contextlib.ExitStack() as stack:
            # No await in between: the next message is the first that is not in the snapshot.
            conversation = stack.enter_context(self._live.hub.add_subscriber(conversation_id, self))
            snapshot = conversation.snapshot(complete=complete)
            self.send(snapshot)
            if target is not None:
                reading = self._live.translations.add_reader(conversation, target, self, snapshot)
                stack.enter_context(reading)
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                self.send(Heartbeat(conversation_id=conversation_id, seq=conversation.seq))

    async def _send_snapshots(self, conversation_id: ConversationId) -> None:
        while True:
            complete = await self._live.updates.refresh(conversation_id)
            conversation = self._live.hub.conversation(conversation_id)
            self.send(conversation.snapshot(complete=complete))
            await asyncio.sleep(HEARTBEAT_SECONDS)
