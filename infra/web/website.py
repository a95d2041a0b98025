"""The page and the service behind one address: CloudFront before a private bucket and an entrance.

    viewer --TLS--> CloudFront --- /api/* ---> entrance (infra.live.entrances), never cached
                              '-- the rest --> bucket that only this distribution can read

Which Host an origin gets. For TLS, CloudFront checks that the origin's certificate covers the
origin's name, or else the Host that it passes on. The certificate of a shared load balancer
covers its own name and not ours, so Host is the one header that `/api/*` does not pass on: it
becomes the origin's name, which any entrance has a certificate for if it has one at all. The
service learns the viewer's from `x-forwarded-host`, and one behaviour serves all entrances.

Which sockets the page may open. The page's policy has to name them, and a distribution's own
name is known only when it exists. So a function at the edge fills in the host that was asked,
which is exact for CloudFront's name as well as for a domain, and no wildcard is needed.

Files in `assets/` carry a hash in their name: they are kept by everybody for good, and old ones
stay for pages that are still open. `index.html` is asked for each time and replaced after them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aws_cdk import Annotations, CfnOutput, IgnoreMode, RemovalPolicy, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_s3_deployment as deployment
from constructs import Construct

from infra.common.buckets import private_bucket
from infra.common.nag import accept
from infra.config.environment import Domain
from infra.live.entrances import Origin
from infra.web.access_log import AccessLog
from infra.web.headers_policy import headers_policy
from infra.web.page_headers import page_headers

#: Handlers that CloudFront runs at the edge; see there.
FUNCTIONS: Final = Path(__file__).parent / "functions"

#: Who may keep what: hashed files everybody for a year, the others only after asking.
IMMUTABLE: Final = "public, max-age=31536000, immutable"
ASK_FIRST: Final = "no-cache"


class Website(Construct):
    """The page, and `/api/*` of the service, at one address.

    Attributes:
        distribution: CloudFront's.
        url: where people find it, e.g. `https://captions.example.com`.
        bucket: the page's files.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        page: str,
        entrance: Origin,
        domain: Domain | None,
        access_logs: bool,
        protected: bool,
    ) -> None:
        """Serve the folder `page` and what is behind `entrance`.

        The stack gets the outputs `Url`, `DistributionId` and `PageBucketName`. With
        `protected`, files outlive the stack.
        """
        super().__init__(scope, construct_id)
        self.bucket = self._make_bucket(protected=protected)
        self.distribution = self._make_distribution(entrance, domain, access_logs=access_logs)
        name = domain.name if domain else self.distribution.distribution_domain_name
        self.url = f"https://{name}"
        PageFiles(
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
        for output, value in (
            ("Url", self.url),
            ("DistributionId", self.distribution.distribution_id),
            ("PageBucketName", self.bucket.bucket_name),
        ):
            CfnOutput(self, output, value=value).override_logical_id(output)

    def _make_bucket(self, *, protected: bool) -> s3.Bucket:
        bucket = private_bucket(self, "Bucket", protected=protected)
        accept(
            bucket,
            {
                "AwsSolutions-S1": "It holds the public page only, and only CloudFront reads it; "
                "CloudFront's access log has who asked for what."
            },
        )
        return bucket

    def _make_distribution(
        self, entrance: Origin, domain: Domain | None, *, access_logs: bool
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
            default_behavior=self._page(domain),
            additional_behaviors={"/api/*": self._api(entrance)},
            domain_names=[domain.name] if domain else None,
            certificate=certificate,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=cloudfront.PriceClass.PRICE_CLASS_100,
            enable_ipv6=True,
        )
        accept(distribution, _findings(domain, access_logs=access_logs))
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

    def _page(self, domain: Domain | None) -> cloudfront.BehaviorOptions:
        policy = page_headers("wss://%HOST%")["Content-Security-Policy"]
        sockets = [f"wss://{domain.name}"] if domain else []
        return cloudfront.BehaviorOptions(
            origin=origins.S3BucketOrigin.with_origin_access_control(
                self.bucket,
                # Without the right to list, S3 says 403 instead of 404 of a file that is not
                # there. Nobody can ask for a list: a path without a file becomes index.html.
                origin_access_levels=[cloudfront.AccessLevel.READ, cloudfront.AccessLevel.LIST],
            ),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
            cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
            compress=True,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            response_headers_policy=headers_policy(self, "PageHeaders", *sockets),
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

    def _api(self, entrance: Origin) -> cloudfront.BehaviorOptions:
        return cloudfront.BehaviorOptions(
            origin=entrance.origin(self),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            # Includes the headers of a WebSocket's handshake.
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            # Sockets do not follow a redirect, and a request that came in clear is out already.
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            function_associations=[
                self._function(
                    "ApiRequest", "api_request.js", cloudfront.FunctionEventType.VIEWER_REQUEST
                )
            ],
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


class PageFiles(Construct):
    """The page's files, brought into their bucket at each deployment: hashed ones first.

    Both copies are made by one function of the CDK's, which stands at the level of the stack.
    It gets a role of ours: the CDK's own may do more than it has to.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        page: str,
        bucket: s3.Bucket,
        distribution: cloudfront.Distribution,
        protected: bool,
    ) -> None:
        """Copy the folder `page`; unless `protected`, empty the bucket when the stack goes."""
        super().__init__(scope, construct_id)
        self._bucket = bucket
        self._protected = protected
        self._log = logs.LogGroup(
            self,
            "Logs",
            retention=logs.RetentionDays.TWO_WEEKS,
            removal_policy=RemovalPolicy.DESTROY,
        )
        hashed = _files(self, "HashedFiles", page, exclude=["/*", "!/assets"])
        others = _files(self, "OtherFiles", page, exclude=["/assets"])
        self._role = self._make_role(hashed, distribution)
        first = self._copy("Assets", hashed, IMMUTABLE)
        then = self._copy("Index", others, ASK_FIRST, distribution)
        first.node.add_dependency(self._role)
        then.node.add_dependency(first)
        _accept_copying_function(self)

    def _copy(
        self,
        name: str,
        files: s3_assets.Asset,
        cache_control: str,
        distribution: cloudfront.IDistribution | None = None,
    ) -> deployment.BucketDeployment:
        return deployment.BucketDeployment(
            self,
            name,
            sources=[deployment.Source.bucket(files.bucket, files.s3_object_key)],
            destination_bucket=self._bucket,
            cache_control=[deployment.CacheControl.from_string(cache_control)],
            # Pages that are open still ask for the hashed files that they were built with.
            prune=False,
            retain_on_delete=self._protected,
            distribution=distribution,
            # Edges know no other paths: all routes of the page are index.html to them.
            distribution_paths=["/", "/index.html"] if distribution else None,
            # They keep what has to be asked for a second at most, so nobody has to wait; and a
            # wait that CloudFront lets run out would roll everything back.
            wait_for_distribution_invalidation=False if distribution else None,
            role=self._role.without_policy_updates(),
            log_group=self._log,
        )

    def _make_role(
        self, staged: s3_assets.Asset, distribution: cloudfront.Distribution
    ) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description="Copies the page into its bucket",
        )
        self._log.grant_write(role)
        for actions, resource in (
            (["s3:GetObject"], staged.bucket.arn_for_objects("*")),
            # Not s3:GetBucketTagging: by a tag of the bucket, which is there as long as the bucket
            # is, the function would see that somebody still needs the files, and would leave them
            # when the stack is deleted (aws/aws-cdk issue 33397). What it cannot read it passes by.
            (["s3:ListBucket"], self._bucket.bucket_arn),
            (["s3:PutObject", "s3:DeleteObject"], self._bucket.arn_for_objects("*")),
            (["cloudfront:CreateInvalidation"], distribution.distribution_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        stack = Stack.of(self)
        accept(
            role,
            {
                f"AwsSolutions-IAM5[Resource::{_shown(stack, staged)}/*]": "What the CDK stages "
                "for deployment, read only. Granted file by file, the right to a new one would be "
                "seconds old when it is used, and a rollback would lack that to the one before.",
                f"AwsSolutions-IAM5[Resource::<{_logical_id(stack, self._bucket)}.Arn>/*]": "All "
                "files of the page's own bucket are its business.",
            },
        )
        return role


def _files(
    scope: Construct, construct_id: str, page: str, *, exclude: Sequence[str]
) -> s3_assets.Asset:
    return s3_assets.Asset(
        scope, construct_id, path=page, exclude=list(exclude), ignore_mode=IgnoreMode.GIT
    )


def _shown(stack: Stack, asset: s3_assets.Asset) -> str:
    """Return the ARN of an asset's bucket as cdk-nag writes it."""
    name: str = stack.resolve(asset.s3_bucket_name)["Fn::Sub"]
    return "arn:aws:s3:::" + name.replace("${", "<").replace("}", ">")


def _logical_id(stack: Stack, bucket: s3.Bucket) -> str:
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - what a Bucket is made of
    return str(stack.resolve(resource.logical_id))


def _accept_copying_function(scope: Construct) -> None:
    reasons = {
        "AwsSolutions-L1": "The CDK's own function; its runtime comes with the CDK's version.",
        "Serverless-LambdaLatestVersion": "The same.",
        "Serverless-LambdaDLQ": "CloudFormation calls it and waits for its answer; a failure "
        "fails the deployment, and nothing is left over.",
        "Serverless-LambdaTracing": "It runs during deployments only; its log has what it did.",
    }
    for child in Stack.of(scope).node.children:
        if child.node.id.startswith("Custom::CDKBucketDeployment"):
            accept(child, reasons)


def _findings(domain: Domain | None, *, access_logs: bool) -> dict[str, str]:
    """Return what cdk-nag finds on the distribution and why that is accepted."""
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
