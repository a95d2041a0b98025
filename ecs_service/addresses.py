"""Finds the key of a caller's address, by which its rate is limited.

Behind CloudFront the socket's peer is the load balancer for every client. So the page's CloudFront
function writes the client's address into a header (`infra/web/functions/api_request.js`), and a
setting names that header. Without the setting no header is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping

from foundation.addresses import network_key


def caller_key(headers: Mapping[str, str], header: str | None, peer: str) -> str:
    """Return the key of the address in `header`, or of the socket's `peer`.

    Without a valid address in the header all clients behind the same peer share a key.
    """
    claimed = headers.get(header) if header else None
    return (network_key(claimed) if claimed else None) or network_key(peer) or peer
