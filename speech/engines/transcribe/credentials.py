"""Credentials from AWS's ordinary chain of providers, by botocore, off the event loop.

botocore refreshes what it knows to expire. What the service calls expired all the same is looked
up anew, through the whole chain; when that brings the same again, there is nothing to be had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from speech.engines.transcribe.errors import CredentialsExpired, CredentialsMissing


class CredentialSource:
    """What requests are signed with."""

    def __init__(self, session: Callable[[], Session] = Session) -> None:
        """Make a source.

        Args:
            session: makes the botocore session whose chain is asked; called again to ask anew.
        """
        self._make_session = session
        self._session: Session | None = None
        self._expired: ReadOnlyCredentials | None = None
        self._lock = asyncio.Lock()

    async def current(self, *, seconds: float) -> ReadOnlyCredentials:
        """Return credentials that may be signed with now.

        Raises:
            CredentialsMissing: the chain has none, or cannot refresh them.
            CredentialsExpired: it has none but those that have expired.
        """
        problem: CredentialsMissing | CredentialsExpired
        try:
            async with asyncio.timeout(seconds), self._lock:
                found = await asyncio.to_thread(self._look_up)
        except TimeoutError:
            problem = CredentialsMissing(f"AWS credentials were not found in {seconds:g} s")
            problem.retryable = True  # whoever gives them out may only be slow
        except BotoCoreError as error:
            problem = CredentialsMissing(f"AWS credentials: {type(error).__name__}")
        else:
            if found is None:
                problem = CredentialsMissing("there are no AWS credentials")
            elif found == self._expired:
                self._session = None  # there may be others the next time
                problem = CredentialsExpired("the AWS credentials have expired", retryable=False)
            else:
                return found
        raise problem

    def expired(self, credentials: ReadOnlyCredentials) -> None:
        """Note that the service takes `credentials` no more: ask the chain anew."""
        self._expired = credentials
        self._session = None

    def _look_up(self) -> ReadOnlyCredentials | None:
        """Ask the chain; may take a while. In a thread."""
        session = self._session
        if session is None:
            session = self._session = self._make_session()
        credentials = session.get_credentials()
        return None if credentials is None else credentials.get_frozen_credentials()
