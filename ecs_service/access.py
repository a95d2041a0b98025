"""Who may use the service: the one function that every entry passes.

Today it authorises everybody but foreign web pages (`foundation.origins`) and, where an edge secret
is configured, whoever does not send it. That secret is for a service which only the network's own
rules separate from CloudFront, because other people's distributions pass those rules, too.
CloudFront sends it in the header `X-Cloudscribe-Edge`, on every path.

When there are accounts, this is where the caller gets a name and rights.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from foundation.origins import ForeignPage, refuse_foreign_pages

#: The header in which CloudFront sends the secret.
EDGE_HEADER = "X-Cloudscribe-Edge"


class Forbidden(Exception):
    """The client may not use the service; the message says why."""


@dataclass(frozen=True, slots=True)
class Door:
    """What decides about admission.

    `loopback` is whether the service listens there only, `edge_secret` what CloudFront has to send;
    None asks for none.
    """

    allowed_origins: frozenset[str] = frozenset()
    loopback: bool = True
    edge_secret: str | None = field(default=None, repr=False)

    def admit(self, headers: Mapping[str, str]) -> None:
        """Let a request in. `headers` are looked up without regard to case.

        Raises:
            Forbidden: a foreign page is behind it, or it did not come through the edge.
        """
        # Bytes that are no text come as surrogates, which UTF-8 has no place for.
        sent = headers.get(EDGE_HEADER, "").encode(errors="surrogateescape")
        if self.edge_secret is not None and not hmac.compare_digest(
            sent, self.edge_secret.encode()
        ):
            raise Forbidden("This service answers to its own page's address only.")
        try:
            refuse_foreign_pages(headers, loopback=self.loopback, allowed=self.allowed_origins)
        except ForeignPage as page:
            raise Forbidden(str(page)) from None
