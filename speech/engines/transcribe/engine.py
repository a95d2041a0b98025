"""The engine: opens sessions of Amazon Transcribe streaming.

Region, account and endpoint are the operator's. A client chooses a language and what
`AllowedOptions` lets it choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from botocore.session import Session as BotocoreSession

from speech.engines.base import (
    Capabilities,
    Engine,
    Policy,
    Recognition,
    RecognitionOptions,
    Result,
    ResumePoint,
    Session,
    SessionEvents,
)
from speech.engines.transcribe.credentials import CredentialSource
from speech.engines.transcribe.errors import CredentialsExpired
from speech.engines.transcribe.operators import check, languages
from speech.engines.transcribe.options import (
    MAX_CHANNELS,
    AllowedOptions,
    TranscribeOptions,
    combine_choices,
)
from speech.engines.transcribe.pace import NEWCOMER_SECONDS, STARTS_PER_SECOND, Starts
from speech.engines.transcribe.session import Patience, TranscribeSession
from speech.engines.transcribe.websocket import WebSocketTransport

#: Throttling passes within seconds, or it is a quota: about 6 s of attempts decide.
POLICY = Policy(attempts=6, first_delay=0.2, max_delay=5.0)
#: Credentials are waited for so long, and then the answer to the request, in seconds.
ANSWER_SECONDS = 4.0


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
        starts_per_second: float = STARTS_PER_SECOND,
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
            starts_per_second: of streams; more have to wait.
            policy: the patience of recognitions.
            patience: the times of sessions.
            botocore_session: makes what knows the chain of credentials.

        Raises:
            OptionError: `defaults` and `allowed` contradict each other or the service.
            ValueError: `endpoint` is no base URL, or without one AWS has no such region.
        """
        self._allowed = allowed or AllowedOptions()
        self._defaults = dict(defaults or {})
        check(defaults=self._defaults, allowed=self._allowed)
        self.policy = policy
        self.capabilities = Capabilities(
            languages=languages(defaults=self._defaults, allowed=self._allowed),
            channels=MAX_CHANNELS if self._allowed.two_channels else 1,
            choices=True,
            stable_words=True,
            speakers=self._allowed.speaker_labels
            or self._defaults.get("show-speaker-label") == "true",
        )
        self._ca_bundle = ca_bundle
        self._patience = patience or Patience()
        self._botocore_session = botocore_session
        self._credentials = CredentialSource(botocore_session)
        self._starts = Starts(starts_per_second)
        self._transport = WebSocketTransport(
            region=region,
            endpoint=endpoint,
            ca_bundle=self._find_ca_bundle,
            ping=self._patience.ping,
        )

    def recognise(
        self,
        options: RecognitionOptions,
        on_result: Callable[[Result], None] | None = None,
        resume: ResumePoint | None = None,
    ) -> Recognition:
        """Return a recognition by Amazon Transcribe.

        Raises:
            UnsupportedLanguage: the service does not know the language, or the operator forbids it.
            OptionError: another option is unsupported or not allowed.
        """
        recognition = super().recognise(options, on_result, resume)
        self._asked(options)
        return recognition

    async def admit(self, *, first: bool) -> None:
        """Wait until the rate limit permits another stream; see `Starts`.

        Raises:
            Throttled: the stream is new, and would wait too long.
        """
        await self._starts.admit(seconds=NEWCOMER_SECONDS if first else math.inf)

    async def connect(self, options: RecognitionOptions, events: SessionEvents) -> Session:
        """Open a stream of the service.

        Raises:
            EngineError: see `errors.py`.
        """
        asked = self._asked(options)
        seconds = min(ANSWER_SECONDS, self.policy.connect_timeout * 0.4)
        credentials = await self._credentials.current(seconds=seconds)
        link = self._transport.link(asked.operation)
        session = TranscribeSession(
            link,
            events,
            channels=asked.channels,
            patience=self._patience,
            expired=lambda: self._credentials.expired(credentials),
        )
        link.receiver = session
        try:
            await link.open(asked.parameters(), credentials, seconds=seconds)
        except CredentialsExpired:
            self._credentials.expired(credentials)
            await session.close()
            raise
        except BaseException:
            await session.close()
            raise
        return session

    def _asked(self, options: RecognitionOptions) -> TranscribeOptions:
        return combine_choices(
            language=options.language,
            channels=options.channels,
            choices=options.choices,
            allowed=self._allowed,
            defaults=self._defaults,
        )

    def _find_ca_bundle(self) -> str | None:
        """Return the file of authorities as other clients of AWS find it; `None`: the system's.

        That is `AWS_CA_BUNDLE`, or `ca_bundle` of the profile.
        """
        bundle = self._ca_bundle or self._botocore_session().get_config_variable("ca_bundle")
        return None if bundle is None else str(bundle)
