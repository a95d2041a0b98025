"""Authorises each request, before anything else looks at it.

It refuses requests of foreign web pages (`foundation.origins`) and, where an edge secret is
configured, requests without it. Today everyone else may use the service.

The secret is for a service that admits CloudFront by its addresses alone, because other people's
distributions have the same addresses. There CloudFront sends the secret in the header
`X-Cloudscribe-Edge`, and a request without it is refused, whatever its path.

When there are accounts, this is where a caller becomes a principal with scopes.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from foundation.origins import ForeignPage, refuse_foreign_pages

#: The header in which CloudFront sends the secret.
EDGE_HEADER = "X-Cloudscribe-Edge"


class Forbidden(Exception):
    """The request is not authorised; the message says why."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The rules by which requests are authorised.

    `loopback` is whether the service listens on the loopback address only. `edge_secret` is what
    CloudFront must send; None requires nothing.
    """

    allowed_origins: frozenset[str] = frozenset()
    loopback: bool = True
    edge_secret: str | None = field(default=None, repr=False)

    def authorise(self, headers: Mapping[str, str]) -> None:
        """Authorise a request by its `headers`, which are looked up without regard to case.

        Raises:
            Forbidden: it comes from a foreign page, or did not come through the edge.
        """
        # Bytes beyond ASCII arrive as surrogates, which strict UTF-8 cannot encode.
        sent = headers.get(EDGE_HEADER, "").encode(errors="surrogateescape")
        if self.edge_secret is not None and not hmac.compare_digest(
            sent, self.edge_secret.encode()
        ):
            raise Forbidden("This service answers to its own page's address only.")
        try:
            refuse_foreign_pages(headers, loopback=self.loopback, allowed=self.allowed_origins)
        except ForeignPage as page:
            raise Forbidden(str(page)) from None
