"""The deployment of the page's files into their bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import IgnoreMode, RemovalPolicy, Stack
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_s3_deployment as deployment
from constructs import Construct

from infra.common.nag import accept_all, shown_id

#: Cache-Control of hashed files, and of the others, which caches have to revalidate.
IMMUTABLE: Final = "public, max-age=31536000, immutable"
ASK_FIRST: Final = "no-cache"


class PageFiles(Construct):
    """The copy of the page's files into their bucket at each deployment, hashed files first.

    One function of the CDK's makes both copies; it is at the level of the stack. It gets a role of
    ours, because the CDK's own role may do more than necessary.
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
        """Copy the folder `page`; unless `protected`, the bucket is emptied with the stack."""
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
        first = self._copy("Assets", _source(hashed), IMMUTABLE)
        then = self._copy("Index", _source(others), ASK_FIRST, distribution)
        first.node.add_dependency(self._role)
        then.node.add_dependency(first)
        self._index = then
        _accept_copying_function(self)

    def add(self, construct_id: str, file: str, content: Mapping[str, object]) -> None:
        """Add a file in JSON beside `index.html`, which is copied after it.

        Its values may be known only at the deployment.
        """
        source = deployment.Source.json_data(file, dict(content))
        added = self._copy(construct_id, source, ASK_FIRST)
        added.node.add_dependency(self._role)
        self._index.node.add_dependency(added)

    def _copy(
        self,
        name: str,
        source: deployment.ISource,
        cache_control: str,
        distribution: cloudfront.IDistribution | None = None,
    ) -> deployment.BucketDeployment:
        return deployment.BucketDeployment(
            self,
            name,
            sources=[source],
            destination_bucket=self._bucket,
            cache_control=[deployment.CacheControl.from_string(cache_control)],
            # Open pages still request the hashed files that they were built with.
            prune=False,
            retain_on_delete=self._protected,
            distribution=distribution,
            # Edges cache no other paths: all routes of the page are index.html to them.
            distribution_paths=["/", "/index.html"] if distribution else None,
            # Edges keep these files for a second at most, so waiting is unnecessary, and a wait
            # that times out would roll everything back.
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
            # Not s3:GetBucketTagging: from a tag of the bucket, which exists as long as the bucket,
            # the function would conclude that the files are still in use and would keep them when
            # the stack is deleted (aws/aws-cdk issue 33397). It ignores tags that it cannot read.
            (["s3:ListBucket"], self._bucket.bucket_arn),
            (["s3:PutObject", "s3:DeleteObject"], self._bucket.arn_for_objects("*")),
            (["cloudfront:CreateInvalidation"], distribution.distribution_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        stack = Stack.of(self)
        accept_all(
            role,
            {
                f"AwsSolutions-IAM5[Resource::{_shown(stack, staged)}/*]": "What the CDK stages "
                "for deployment, read only. Granted file by file, the right to a new one would be "
                "seconds old when it is used, and a rollback would lack that to the one before.",
                f"AwsSolutions-IAM5[Resource::<{shown_id(self._bucket)}.Arn>/*]": "All "
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


def _source(files: s3_assets.Asset) -> deployment.ISource:
    return deployment.Source.bucket(files.bucket, files.s3_object_key)


def _shown(stack: Stack, asset: s3_assets.Asset) -> str:
    """Return the ARN of an asset's bucket as cdk-nag writes it."""
    name: str = stack.resolve(asset.s3_bucket_name)["Fn::Sub"]
    return "arn:aws:s3:::" + name.replace("${", "<").replace("}", ">")


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
            accept_all(child, reasons)
