"""Credentials from AWS's default chain of providers, by botocore, off the event loop.

botocore refreshes credentials whose expiry it knows. When the service rejects others as expired,
the whole chain is asked again. If it returns the same ones, there are no valid credentials.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from speech.engines.transcribe.errors import CredentialsExpired, CredentialsMissing


class CredentialSource:
    """The source of the credentials that sign requests."""

    def __init__(self, session: Callable[[], Session] = Session) -> None:
        """Create a source.

        Args:
            session: creates the botocore session with the chain; called again for another lookup.
        """
        self._make_session = session
        self._session: Session | None = None
        self._expired: ReadOnlyCredentials | None = None
        self._lock = asyncio.Lock()

    async def current(self, *, seconds: float) -> ReadOnlyCredentials:
        """Return valid credentials.

        Raises:
            CredentialsMissing: the chain has none, or cannot refresh them.
            CredentialsExpired: it has expired ones only.
        """
        problem: CredentialsMissing | CredentialsExpired
        try:
            async with asyncio.timeout(seconds), self._lock:
                found = await asyncio.to_thread(self._look_up)
        except TimeoutError:
            problem = CredentialsMissing(f"AWS credentials were not found in {seconds:g} s")
            problem.retryable = True  # the provider may only be slow
        except BotoCoreError as error:
            problem = CredentialsMissing(f"AWS credentials: {type(error).__name__}")
        else:
            if found is None:
                problem = CredentialsMissing("there are no AWS credentials")
            elif found == self._expired:
                self._session = None  # the next lookup may find others
                problem = CredentialsExpired("the AWS credentials have expired", retryable=False)
            else:
                return found
        raise problem

    def expired(self, credentials: ReadOnlyCredentials) -> None:
        """Record that the service rejects `credentials` as expired: ask the chain again."""
        self._expired = credentials
        self._session = None

    def _look_up(self) -> ReadOnlyCredentials | None:
        """Ask the chain, which may take a while; called in a thread."""
        session = self._session
        if session is None:
            session = self._session = self._make_session()
        credentials = session.get_credentials()
        return None if credentials is None else credentials.get_frozen_credentials()
