"""Who may use the server: whoever knows the secret.

Without a secret only this machine can connect (the settings see to that), and then two ways are
barred in which a foreign web page could use its visitor's browser: requests with another `Origin`,
and host names that were made to resolve to the loopback address.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from gpu_server.problems import Forbidden, Unauthorized
from gpu_server.settings import LOOPBACK_NAMES

#: Open to everybody: they tell nothing of recordings.
OPEN: Final = frozenset({"/health", "/metrics", "/docs", "/openapi.json"})


@dataclass(frozen=True, slots=True)
class Door:
    """What decides about admission."""

    secret: str | None = field(repr=False)
    loopback: bool

    def admit(self, path: str, headers: Mapping[str, str]) -> None:
        """Let a request in. `headers` are looked up in lower case.

        Raises:
            Unauthorized: the caller does not know the secret.
            Forbidden: a foreign page is behind it.
        """
        if self.loopback and self.secret is None:
            self._refuse_pages(headers)
        if self.secret is None or path in OPEN:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Compared as bytes: texts are compared in constant time only if they are ASCII.
        known = hmac.compare_digest(token.strip().encode(), self.secret.encode())
        if scheme.lower() != "bearer" or not known:
            raise Unauthorized("Send the secret: Authorization: Bearer SECRET.")

    @staticmethod
    def _refuse_pages(headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname
            origin = urlsplit(headers.get("origin", ""))
        except ValueError:
            raise Forbidden("The headers Host and Origin are malformed.") from None
        if name not in LOOPBACK_NAMES:
            raise Forbidden("This server answers to names of this machine only.")
        if headers.get("origin") and origin.netloc != host:
            raise Forbidden("Pages of this origin may not use the server.")
