"""CloudFront's policy for the page's headers."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudfront as cloudfront
from constructs import Construct

from infra.web.page_headers import STRICT_TRANSPORT_DAYS, page_headers


def make_headers_policy(
    scope: Construct, construct_id: str, *allowed: str
) -> cloudfront.ResponseHeadersPolicy:
    """Return a policy that sends `page_headers(*allowed)`.

    It does not override an existing Content-Security-Policy, because a function at the edge may
    name more sockets. The policy's own value is for error responses, which no function sees.
    """
    headers = page_headers(*allowed)
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
                access_control_max_age=Duration.days(STRICT_TRANSPORT_DAYS),
                # Other names below the domain may not be ours.
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
