"""The headers of every answer of the page, from CloudFront or from the local edge.

This module does not import the CDK, so that the edge can use it without starting Node.
"""

from __future__ import annotations

from typing import Final

#: How long browsers use TLS only, days.
STRICT_TRANSPORT_DAYS: Final = 365


def page_headers(*origins: str) -> dict[str, str]:
    """Return the headers by name.

    `origins` are those that the page may connect to besides its own: those of its WebSockets, e.g.
    `wss://example.com`, because browsers differ on whether `'self'` covers them, and that of the
    issuer from which it gets access tokens.
    """
    policy = {
        "default-src": "'none'",
        "base-uri": "'none'",
        "connect-src": " ".join(("'self'", *origins)),
        "font-src": "'self'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "img-src": "'self' data:",
        "manifest-src": "'self'",
        "media-src": "'self' blob:",
        "script-src": "'self'",
        "style-src": "'self'",
        "worker-src": "'self'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Strict-Transport-Security": f"max-age={STRICT_TRANSPORT_DAYS * 24 * 3600}",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
