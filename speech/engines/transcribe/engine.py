"""The engine: opens sessions of Amazon Transcribe streaming over WebSockets.

Region, account and endpoint are the operator's. A client chooses a language and what
`AllowedOptions` lets it choose.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping

from botocore.session import Session as BotocoreSession

from speech.engines.base import (
    Capabilities,
    Engine,
    Policy,
    Recognition,
    RecognitionOptions,
    Result,
    Session,
    SessionEvents,
)
from speech.engines.transcribe.credentials import CredentialSource
from speech.engines.transcribe.errors import CredentialsExpired
from speech.engines.transcribe.options import (
    MAX_CHANNELS,
    AllowedOptions,
    TranscribeOptions,
    chosen,
)
from speech.engines.transcribe.presign import base_url, presigned
from speech.engines.transcribe.session import Patience, TranscribeSession
from speech.engines.transcribe.websocket import WebSocketLink

#: Throttling passes within seconds, or it is a quota: about 6 s of attempts tell.
POLICY = Policy(attempts=6, first_delay=0.2, max_delay=5.0)


class TranscribeEngine(Engine):
    """Recognises through Amazon Transcribe."""

    name = "transcribe"

    def __init__(
        self,
        *,
        region: str,
        endpoint: str | None = None,
        allowed: AllowedOptions | None = None,
        defaults: Mapping[str, str] | None = None,
        ca_bundle: str | None = None,
        policy: Policy = POLICY,
        patience: Patience | None = None,
        botocore_session: Callable[[], BotocoreSession] = BotocoreSession,
    ) -> None:
        """Make an engine; nothing is connected yet.

        Args:
            region: of AWS, e.g. `eu-central-1`.
            endpoint: base URL of a VPC endpoint, or of a local one; else the region's.
            allowed: what clients may choose.
            defaults: choices for every stream, by the service's names; see `options.py`.
            ca_bundle: file of the authorities to trust; else AWS's setting, else the system's.
            policy: the patience of recognitions.
            patience: the times of sessions.
            botocore_session: makes what knows the chain of credentials.

        Raises:
            ValueError: `endpoint` is no base URL.
        """
        self.policy = policy
        self.capabilities = Capabilities(
            languages=(allowed or AllowedOptions()).languages, channels=MAX_CHANNELS
        )
        self._region = region
        self._base = base_url(region, endpoint)
        self._allowed = allowed or AllowedOptions()
        self._defaults = dict(defaults or {})
        self._ca_bundle = ca_bundle
        self._patience = patience or Patience()
        self._botocore_session = botocore_session
        self._credentials = CredentialSource(botocore_session)
        self._context: ssl.SSLContext | None = None

    def recognise(
        self, options: RecognitionOptions, on_result: Callable[[Result], None] | None = None
    ) -> Recognition:
        """Return a recognition.

        Raises:
            UnsupportedLanguage: the service or the operator does not know the language.
            OptionError: something else that was chosen is not to be had.
        """
        recognition = super().recognise(options, on_result)
        self._asked(options)
        return recognition

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        """Open a stream of the service.

        Raises:
            EngineError: see `errors.py`.
        """
        asked = self._asked(options)
        seconds = self.policy.connect_timeout * 0.4  # for each of two waits, and a reserve
        credentials = await self._credentials.current(seconds=seconds)
        context = await self._trust()
        url = presigned(
            self._base, asked.parameters(), region=self._region, credentials=credentials
        )
        link = WebSocketLink()
        session = TranscribeSession(
            link,
            events,
            channels=asked.channels,
            patience=self._patience,
            expired=lambda: self._credentials.expired(credentials),
        )
        link.receiver = session
        try:
            await link.open(url, context=context, seconds=seconds)
        except CredentialsExpired:
            self._credentials.expired(credentials)
            await session.close()
            raise
        except BaseException:
            await session.close()
            raise
        return session

    def _asked(self, options: RecognitionOptions) -> TranscribeOptions:
        return chosen(
            language=options.language,
            channels=options.channels,
            choices=options.choices,
            allowed=self._allowed,
            defaults=self._defaults,
        )

    async def _trust(self) -> ssl.SSLContext | None:
        """Return whom to trust; made once, for reading the authorities takes a while."""
        if self._context is None and self._base.startswith("wss:"):
            self._context = await asyncio.to_thread(self._make_context)
        return self._context

    def _make_context(self) -> ssl.SSLContext:
        """Read the authorities, as other clients of AWS do: `AWS_CA_BUNDLE` or the profile's."""
        bundle = self._ca_bundle or self._botocore_session().get_config_variable("ca_bundle")
        return ssl.create_default_context(cafile=bundle)
