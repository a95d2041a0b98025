"""Authenticates callers by the secret.

Without a secret only this machine can connect (the settings see to that), and then foreign web
pages are refused (`foundation.origins`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from foundation.origins import ForeignPage, refuse_foreign_pages
from gpu_server.problems import Forbidden, Unauthorized

#: Routes without authentication; they reveal nothing about recordings.
OPEN: Final = frozenset({"/health", "/metrics", "/docs", "/openapi.json"})


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Decides whether a caller may use a route."""

    secret: str | None = field(repr=False)
    loopback: bool

    def authenticate(self, path: str, headers: Mapping[str, str]) -> None:
        """Check a request. `headers` are looked up without regard to case.

        Raises:
            Unauthorized: the caller does not know the secret.
            Forbidden: a foreign web page may be behind the request.
        """
        if self.loopback and self.secret is None:
            try:
                refuse_foreign_pages(headers, loopback=True)
            except ForeignPage as page:
                raise Forbidden(str(page)) from None
        if self.secret is None or path in OPEN:
            return
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        # Compared as bytes, because `compare_digest` takes only ASCII texts.
        known = hmac.compare_digest(token.strip().encode(), self.secret.encode())
        if scheme.lower() != "bearer" or not known:
            raise Unauthorized("Send the secret: Authorization: Bearer SECRET.")
