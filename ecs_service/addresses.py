"""Whose address a connection comes from.

Behind CloudFront the socket's peer is a load balancer for everybody, so the page's CloudFront
function writes the viewer's address into a header (`infra/web_functions/api_request.js`) and the
service is given that header's name. Without the name nothing that a client sends is believed.
"""

from __future__ import annotations

from collections.abc import Mapping

from foundation.addresses import network_key


def caller_key(headers: Mapping[str, str], header: str | None, peer: str) -> str:
    """Return the key of the address in `header`, or of the socket's `peer`.

    A header that is absent or malformed counts for nothing: all who share the peer share a key.
    """
    claimed = headers.get(header) if header else None
    return (network_key(claimed) if claimed else None) or network_key(peer) or peer
