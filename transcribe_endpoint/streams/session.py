"""One stream, independent of its transport: audio events in, event-stream frames out.

A transport verifies the signature, then

    request = TranscribeRequest.parse(parameters)
    session = service.open(request, connection)
    session.audio(read_audio_event(message))   # for each AudioEvent; b"" ends the audio
    session.lost()                             # when the connection ends, for whatever reason

and implements `Connection`. `open` raises a `ServiceError` where the
stream is refused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from transcribe_endpoint.audio.decoders import decoder_for
from transcribe_endpoint.errors import BadRequest, Conflict, LimitExceeded, ServiceError
from transcribe_endpoint.faults import Fault, FaultKind, Faults
from transcribe_endpoint.recognition.recogniser import Recogniser
from transcribe_endpoint.requests import TranscribeRequest
from transcribe_endpoint.streams.events import exception_frame, transcript_frame
from transcribe_endpoint.vocabularies.store import Vocabularies

#: Seconds without audio after which the service ends a stream.
IDLE_SECONDS: Final = 15.0
#: Seconds of audio that one stream may hold.
MAX_STREAM_SECONDS: Final = 4 * 3600.0
#: Seconds for which a stream that has stalled, as a fault, stays open.
STALL_SECONDS: Final = 300.0

_SECOND = 1.0


class StreamQuota:
    """The account's quota of streams, shared by all transports.

    Args:
        streams: most streams at once.
        starts_per_second: most streams begun within any one second.
        clock: the time in seconds, that of the event loop by default.
    """

    def __init__(
        self,
        *,
        streams: int = 25,
        starts_per_second: int = 25,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._streams = streams
        self._starts_per_second = starts_per_second
        self._clock = clock
        self._open = 0
        self._starts: deque[float] = deque()

    @property
    def open_streams(self) -> int:
        """The number of streams that have begun and are not over."""
        return self._open

    def begin(self) -> None:
        """Count a stream that begins.

        Raises:
            LimitExceeded: too many are open, or too many began within the last second.
        """
        now = self._clock() if self._clock else asyncio.get_running_loop().time()
        while self._starts and self._starts[0] <= now - _SECOND:
            self._starts.popleft()
        if self._open >= self._streams:
            raise LimitExceeded(
                "You have reached your account's limit of concurrent streams. "
                "Wait until streams have ended and try your request again."
            )
        if len(self._starts) >= self._starts_per_second:
            raise LimitExceeded(
                "You have reached your account's limit of transcription requests per second. "
                "Slow down and try your request again."
            )
        self._starts.append(now)
        self._open += 1

    def end(self) -> None:
        """Count a stream that is over."""
        self._open -= 1


class Connection(Protocol):
    """What a session needs of the connection that carries its stream."""

    def send(self, frame: bytes) -> None:
        """Send one complete frame to the client."""

    def finish(self) -> None:
        """Close gracefully, after what was sent. Called once."""

    def abort(self) -> None:
        """Cut the connection without a close, for faults."""

    def freeze(self) -> None:
        """Stop reading from the connection, for faults."""


class StreamSession:
    """A stream from its start to its end. `TranscribeService.open` makes it and applies the quota.

    Args:
        request: the options of the stream.
        recogniser: recognises the audio.
        connection: carries the stream.
        faults: the faults of this stream.
        idle_seconds: how long a client may send no audio.
        max_seconds: longest audio of a stream, seconds.
        on_over: called once when the stream is over, for whatever reason, or has stalled.
    """

    def __init__(
        self,
        *,
        request: TranscribeRequest,
        recogniser: Recogniser,
        connection: Connection,
        faults: Iterable[Fault],
        idle_seconds: float,
        max_seconds: float,
        on_over: Callable[[StreamSession], None],
    ) -> None:
        self.request = request
        #: Whether it has ended, for whatever reason; nothing is sent after that.
        self.over = False
        self._connection = connection
        self._on_over: Callable[[StreamSession], None] | None = on_over
        self._max_seconds = max_seconds
        self._idle_seconds = idle_seconds
        self._pending: deque[Fault] = deque()
        for fault in sorted(faults, key=lambda fault: fault.seconds):
            if fault.kind is FaultKind.IDLE:
                self._idle_seconds = fault.seconds
            elif fault.kind in {FaultKind.EXCEPTION, FaultKind.STALL, FaultKind.DISCONNECT}:
                self._pending.append(fault)
        self._decoder = decoder_for(request)
        self._received = 0  # bytes of PCM
        self._ended = False
        self._stalled = False
        self._loop = asyncio.get_running_loop()
        self._last_audio = self._loop.time()
        self._idle_timer = self._loop.call_later(self._idle_seconds, self._check_idle)
        self._recognition = recogniser.recognise(request, self)

    # --- for the transport ----------------------------------------------------------------

    def audio(self, payload: bytes) -> None:
        """Take the payload of one AudioEvent; an empty one ends the audio."""
        if self.over or self._stalled or self._ended:
            return
        if not payload:
            self._ended = True
            self._idle_timer.cancel()
            self._feed(self._decoder.finish())
            if not self.over and not self._stalled:
                self._recognition.end()
            return
        self._last_audio = self._loop.time()
        self._feed(self._decoder.feed(payload))

    def cut_short(self) -> None:
        """Handle that the client has closed its side; fail if it had not ended the audio."""
        if not self._ended and not self._stalled:
            self.fail(BadRequest("A complete signal was sent without the preceding empty frame."))

    def fail(self, error: ServiceError) -> None:
        """End the stream with an exception."""
        if self.over or self._stalled:
            return
        self._connection.send(exception_frame(error.error_type, str(error)))
        self._close()
        self._connection.finish()

    def lost(self) -> None:
        """Handle the end of the connection. May be called at any time."""
        if not self.over:
            self._close()

    # --- for the recognition ----------------------------------------------------------------

    def on_result(self, result: Mapping[str, Any]) -> None:
        """Send a result."""
        if not self.over and not self._stalled:
            self._connection.send(transcript_frame((result,)))

    def on_end(self) -> None:
        """End the stream gracefully, after the last result."""
        if not self.over and not self._stalled:
            self._close()
            self._connection.finish()

    def on_failure(self, error: ServiceError) -> None:
        """End the stream with the recogniser's error."""
        self.fail(error)

    # --- private ----------------------------------------------------------------------------

    def _feed(self, decoded: Iterable[bytes]) -> None:
        """Take the PCM of an event; fail the stream where the audio is wrong or too long."""
        try:
            for pcm in decoded:
                self._take(pcm)
                if self.over or self._stalled:
                    return
        except ServiceError as error:
            self.fail(error)

    def _take(self, pcm: bytes) -> None:
        """Pass PCM to the recognition, and trigger the faults that are due before or after it.

        Raises:
            LimitExceeded: the stream becomes too long.
        """
        if self._received + len(pcm) > self._max_seconds * self.request.bytes_per_second:
            raise LimitExceeded(
                "Your client has exceeded one of the limits of the service, typically that on "
                "audio length. Break your audio stream into smaller chunks and try again."
            )
        if self._pending:
            self._trigger_faults()
            if self.over or self._stalled:
                return
        self._received += len(pcm)
        self._recognition.audio(pcm)
        if self._pending and not self.over:
            self._trigger_faults()

    def _trigger_faults(self) -> None:
        """Trigger the faults that are due."""
        received = self._received / self.request.bytes_per_second
        while self._pending and self._pending[0].seconds <= received and not self.over:
            fault = self._pending.popleft()
            if fault.kind is FaultKind.STALL:
                self._stall()
                return
            if fault.kind is FaultKind.DISCONNECT:
                self._disconnect()
            else:
                self.fail(fault.to_error())

    def _stall(self) -> None:
        """Freeze, and free the quota: a session that does not read cannot see the client leave."""
        self._stalled = True
        self._leave()
        self._idle_timer.cancel()
        self._idle_timer = self._loop.call_later(STALL_SECONDS, self._disconnect)
        self._connection.freeze()

    def _disconnect(self) -> None:
        self._close()
        self._connection.abort()

    def _check_idle(self) -> None:
        """Fail the stream where no audio came for too long; else check again later."""
        waited = self._loop.time() - self._last_audio
        left = self._idle_seconds - waited
        if left > 0:
            self._idle_timer = self._loop.call_later(left, self._check_idle)
        else:
            self.fail(
                BadRequest(
                    "Your request timed out because no new audio was received for "
                    f"{self._idle_seconds:g} seconds."
                )
            )

    def _close(self) -> None:
        self.over = True
        self._idle_timer.cancel()
        self._recognition.close()
        self._leave()

    def _leave(self) -> None:
        on_over, self._on_over = self._on_over, None
        if on_over is not None:
            on_over(self)


class TranscribeService:
    """The state that all transports share: the account's keys and quota, recogniser and faults.

    Args:
        recogniser: recognises the audio of every stream.
        secrets: the secret of each access key that is known.
        limits: the quota.
        faults: the faults of all streams.
        vocabularies: the vocabularies and filters that streams may name; default: none.
        idle_seconds: how long a client may send no audio.
        max_seconds: longest audio of a stream, seconds.
    """

    def __init__(
        self,
        *,
        recogniser: Recogniser,
        secrets: Mapping[str, str],
        limits: StreamQuota | None = None,
        faults: Faults | None = None,
        vocabularies: Vocabularies | None = None,
        idle_seconds: float = IDLE_SECONDS,
        max_seconds: float = MAX_STREAM_SECONDS,
    ) -> None:
        self.secrets = dict(secrets)
        self.limits = limits or StreamQuota()
        self.faults = faults or Faults()
        self.vocabularies = vocabularies or Vocabularies()
        self._recogniser = recogniser
        self._idle_seconds = idle_seconds
        self._max_seconds = max_seconds
        self._sessions: dict[str, StreamSession] = {}

    def open(self, request: TranscribeRequest, connection: Connection) -> StreamSession:
        """Begin a stream, and end an open one with the same session id.

        Raises:
            ServiceError: the stream is refused.
        """
        faults = self.faults.due_for(request)
        for fault in faults:
            if fault.kind in {FaultKind.REFUSE, FaultKind.LIMIT}:
                raise fault.to_error()
        request = self.vocabularies.resolve(request)
        self.limits.begin()
        try:
            session = StreamSession(
                request=request,
                recogniser=self._recogniser,
                connection=connection,
                faults=faults,
                idle_seconds=self._idle_seconds,
                max_seconds=self._max_seconds,
                on_over=self._forget,
            )
        except BaseException:
            self.limits.end()
            raise
        earlier = self._sessions.get(request.session_id)
        self._sessions[request.session_id] = session
        if earlier is not None:
            earlier.fail(
                Conflict(
                    "A new stream started with the same session ID. "
                    "The current stream has been terminated."
                )
            )
        return session

    def _forget(self, session: StreamSession) -> None:
        self.limits.end()
        if self._sessions.get(session.request.session_id) is session:
            del self._sessions[session.request.session_id]
