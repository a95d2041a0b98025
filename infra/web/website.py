"""The page and the service at one address: CloudFront before a private bucket and an entrance.

    viewer --TLS--> CloudFront --- /api/app/* --> the API of accounts, if there are any
                              |--- /api/* ------> entrance (infra.live.entrances), never cached
                              '-- the rest -----> bucket that only this distribution can read

**Host of requests to the service.** For TLS, CloudFront checks that the origin's certificate covers
the origin's name, or else the Host header that it passes on. The certificate of a shared load
balancer covers its own name and not ours. So Host is the only header that `/api/*` does not pass
on: it becomes the origin's name, which an entrance's certificate covers if it has one. The service
reads the viewer's host from `x-forwarded-host`, and one behaviour serves all entrances.

**Sockets that the page may open.** The page's policy has to name them, but the distribution's own
name is unknown before it exists. So a function at the edge inserts the requested host. This is
exact for CloudFront's name and for a domain, and needs no wildcard. With accounts the policy also
names the issuer's address of tokens.

**Caching.** Files in `assets/` have a hash in their name. Browsers keep them forever, and old ones
stay in the bucket for pages that are still open. `index.html` is revalidated at each request and
replaced after the assets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from aws_cdk import Annotations, Duration, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.common.buckets import make_private_bucket
from infra.common.nag import accept, accept_all
from infra.common.outputs import add_outputs
from infra.config.domain import Domain
from infra.web.access_log import AccessLog
from infra.web.headers_policy import make_headers_policy
from infra.web.page_files import PageFiles
from infra.web.page_headers import page_headers

#: The functions that CloudFront runs at the edge.
FUNCTIONS: Final = Path(__file__).parent / "functions"


#: The errors that CloudFront can cache (Developer Guide, "How CloudFront processes and caches HTTP
#: 4xx and 5xx status codes from your origin").
ERRORS: Final = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)
#: The requests to the API of accounts.
ACCOUNTS_PATHS: Final = "/api/app/*"


class ApiOrigin(Protocol):
    """An origin to which CloudFront passes `/api/*` or `/api/app/*`."""

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return the origin; the resources that it needs are made in `scope`."""


@dataclass(frozen=True, slots=True)
class AccountsOrigin:
    """What the page and its address need where there are accounts.

    Attributes:
        entrance: the origin of their API.
        token_origin: scheme and host from which the page gets access tokens.
    """

    entrance: ApiOrigin
    token_origin: str


class Website(Construct):
    """The page, and `/api/*` of the service, at one address.

    Attributes:
        distribution: CloudFront's distribution.
        url: the page's address, e.g. `https://captions.example.com`.
        bucket: the page's files.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        page: str,
        entrance: ApiOrigin,
        domain: Domain | None,
        access_logs: bool,
        protected: bool,
        accounts: AccountsOrigin | None = None,
    ) -> None:
        """Serve the folder `page`, and `/api/*` from `entrance`.

        The stack gets the outputs `Url`, `DistributionId` and `PageBucketName`. With
        `protected`, files outlive the stack.
        """
        super().__init__(scope, construct_id)
        self.bucket = self._make_bucket(protected=protected)
        self.distribution = self._make_distribution(
            entrance, accounts, domain, access_logs=access_logs
        )
        name = domain.name if domain else self.distribution.distribution_domain_name
        self.url = f"https://{name}"
        self._files = PageFiles(
            self,
            "Files",
            page=page,
            bucket=self.bucket,
            distribution=self.distribution,
            protected=protected,
        )
        if access_logs:
            AccessLog(self, "AccessLog", distribution=self.distribution)
        if domain:
            self._make_records(domain)
        add_outputs(
            self,
            Url=self.url,
            DistributionId=self.distribution.distribution_id,
            PageBucketName=self.bucket.bucket_name,
        )

    def describe_access(self, access: Mapping[str, object]) -> None:
        """Serve `access.json`, in which the page and programs find out where to sign in."""
        self._files.add("Access", "access.json", access)

    def _make_bucket(self, *, protected: bool) -> s3.Bucket:
        bucket = make_private_bucket(self, "Bucket", protected=protected)
        accept(
            bucket,
            "AwsSolutions-S1",
            "It holds the public page only, and only CloudFront reads it; "
            "CloudFront's access log has who asked for what.",
        )
        return bucket

    def _make_distribution(
        self,
        entrance: ApiOrigin,
        accounts: AccountsOrigin | None,
        domain: Domain | None,
        *,
        access_logs: bool,
    ) -> cloudfront.Distribution:
        certificate = None
        if domain and domain.certificate_arn:
            certificate = acm.Certificate.from_certificate_arn(
                self, "Certificate", domain.certificate_arn
            )
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=Stack.of(self).stack_name,
            default_root_object="index.html",
            default_behavior=self._page(domain, [accounts.token_origin] if accounts else []),
            # CloudFront takes the first that fits.
            additional_behaviors={
                **({ACCOUNTS_PATHS: self._accounts(accounts)} if accounts else {}),
                "/api/*": self._api(entrance),
            },
            error_responses=_never_cached() if accounts else None,
            domain_names=[domain.name] if domain else None,
            certificate=certificate,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=cloudfront.PriceClass.PRICE_CLASS_100,
            enable_ipv6=True,
        )
        accept_all(distribution, _findings(domain, access_logs=access_logs))
        # `/` is index.html, so that the right to list gives nobody a list (see `_page`).
        Annotations.of(distribution).acknowledge_warning(
            "@aws-cdk/aws-cloudfront-origins:listBucketSecurityRisk"
        )
        if certificate is None:
            # The same finding as AwsSolutions-CFR4, and the same reason.
            Annotations.of(distribution).acknowledge_warning(
                "@aws-cdk/aws-cloudfront:minimumProtocolVersionWithoutCertificate"
            )
        return distribution

    def _page(self, domain: Domain | None, others: Sequence[str]) -> cloudfront.BehaviorOptions:
        policy = page_headers("wss://%HOST%", *others)["Content-Security-Policy"]
        sockets = [f"wss://{domain.name}"] if domain else []
        return cloudfront.BehaviorOptions(
            origin=origins.S3BucketOrigin.with_origin_access_control(
                self.bucket,
                # Without the right to list, S3 answers 403 in place of 404 for a missing file.
                # Nobody can request a list: a path without a file becomes index.html.
                origin_access_levels=[cloudfront.AccessLevel.READ, cloudfront.AccessLevel.LIST],
            ),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
            cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
            compress=True,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            response_headers_policy=make_headers_policy(self, "PageHeaders", *sockets, *others),
            function_associations=[
                self._function(
                    "PageRequest", "page_request.js", cloudfront.FunctionEventType.VIEWER_REQUEST
                ),
                self._function(
                    "PageResponse",
                    "page_response.js",
                    cloudfront.FunctionEventType.VIEWER_RESPONSE,
                    policy=policy,
                ),
            ],
        )

    def _api(self, entrance: ApiOrigin) -> cloudfront.BehaviorOptions:
        return cloudfront.BehaviorOptions(
            origin=entrance.origin(self),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            # Includes the headers of a WebSocket's handshake.
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            # Sockets do not follow a redirect, and a plain request has exposed its content already.
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            function_associations=[
                self._function(
                    "ApiRequest", "api_request.js", cloudfront.FunctionEventType.VIEWER_REQUEST
                )
            ],
        )

    def _accounts(self, accounts: AccountsOrigin) -> cloudfront.BehaviorOptions:
        return cloudfront.BehaviorOptions(
            origin=accounts.entrance.origin(self),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            # Includes `Authorization`.
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
        )

    def _function(
        self, name: str, file: str, event: cloudfront.FunctionEventType, *, policy: str = ""
    ) -> cloudfront.FunctionAssociation:
        code = (FUNCTIONS / file).read_text(encoding="utf-8")
        return cloudfront.FunctionAssociation(
            event_type=event,
            function=cloudfront.Function(
                self,
                name,
                code=cloudfront.FunctionCode.from_inline(
                    code.replace("'%POLICY%'", json.dumps(policy))
                ),
                runtime=cloudfront.FunctionRuntime.JS_2_0,
                comment=f"infra/web/functions/{file}",
            ),
        )

    def _make_records(self, domain: Domain) -> None:
        if not domain.hosted_zone:
            return
        zone = route53.HostedZone.from_hosted_zone_attributes(
            self,
            "Zone",
            hosted_zone_id=domain.hosted_zone.zone_id,
            zone_name=domain.hosted_zone.name,
        )
        target = route53.RecordTarget.from_alias(targets.CloudFrontTarget(self.distribution))
        route53.ARecord(self, "Address", zone=zone, record_name=domain.name, target=target)
        route53.AaaaRecord(self, "Address6", zone=zone, record_name=domain.name, target=target)


def _never_cached() -> list[cloudfront.ErrorResponse]:
    """Return that no error stays in an edge's cache.

    Otherwise CloudFront keeps some for ten seconds by their address alone, whatever an origin says:
    a stranger's 404 for a conversation would be the owner's, too.
    """
    return [
        cloudfront.ErrorResponse(http_status=status, ttl=Duration.seconds(0)) for status in ERRORS
    ]


def _findings(domain: Domain | None, *, access_logs: bool) -> dict[str, str]:
    """Return cdk-nag's findings on the distribution with the reasons to accept them."""
    findings = {
        "AwsSolutions-CFR1": "People may listen from wherever they are.",
        "AwsSolutions-CFR2": "A firewall costs more a month than all the rest of the demo. What "
        "it would keep off is bounded behind it: sizes, rates and slots, by the service itself.",
        "AwsSolutions-CFR3": "Logged by infra.web.access_log, which leaves out the query: it names "
        "the conversation. The rule knows the older log only, which cannot."
        if access_logs
        else "A choice of the environment; this one keeps no record of its visitors.",
    }
    if domain is None:
        findings["AwsSolutions-CFR4"] = (
            "With CloudFront's own certificate the least version cannot be chosen; a domain of "
            "one's own has TLS 1.2."
        )
    return findings
