"""The headers of every answer that is part of the page.

`local_cloud.edge` sends the same ones on one machine, and a test compares them; what only makes
sense over TLS or on a name of one's own is added here.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudfront as cloudfront
from constructs import Construct

#: Browsers come back by TLS only for so long.
STRICT_TRANSPORT: Final = Duration.days(365)


def page_headers(*sockets: str) -> dict[str, str]:
    """Return the headers by name.

    `sockets` are the origins of WebSockets that the page may open, e.g. `wss://example.com`:
    browsers differ on whether `'self'` covers them.
    """
    policy = {
        "default-src": "'none'",
        "base-uri": "'none'",
        "connect-src": " ".join(("'self'", *sockets)),
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
        "Strict-Transport-Security": f"max-age={STRICT_TRANSPORT.to_seconds():.0f}",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }


def headers_policy(
    scope: Construct, construct_id: str, *sockets: str
) -> cloudfront.ResponseHeadersPolicy:
    """Return CloudFront's policy that sends `page_headers(*sockets)`.

    The Content-Security-Policy gives way to one that is there already, for a function may know
    more sockets. This one is for answers that functions do not get to see: errors.
    """
    headers = page_headers(*sockets)
    others = ("Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Permissions-Policy")
    return cloudfront.ResponseHeadersPolicy(
        scope,
        construct_id,
        comment="Headers of the page",
        security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
            content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                content_security_policy=headers["Content-Security-Policy"], override=False
            ),
            content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
            frame_options=cloudfront.ResponseHeadersFrameOptions(
                frame_option=cloudfront.HeadersFrameOption(headers["X-Frame-Options"]),
                override=True,
            ),
            referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                referrer_policy=cloudfront.HeadersReferrerPolicy.STRICT_ORIGIN_WHEN_CROSS_ORIGIN,
                override=True,
            ),
            strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                access_control_max_age=STRICT_TRANSPORT,
                # Other names below a domain are not ours to decide on.
                include_subdomains=False,
                override=True,
            ),
        ),
        custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
            custom_headers=[
                cloudfront.ResponseCustomHeader(header=name, value=headers[name], override=True)
                for name in others
            ]
        ),
    )
