"""The roles of pipelines: what each may do, and which jobs may take it.

A pipeline authenticates with a token of GitHub or Azure DevOps (OpenID Connect), without keys. Each
role trusts exactly one subject:

    role      GitHub: who                Azure: which service connection   may
    Deploy    jobs in the environment    the given one                     deploy as the CDK does,
                                                                           and run the smoke check
    Publish   jobs on the branch main    the given one + "-publish"        push and mark images
    Diff      jobs of pull requests      the given one + "-diff"           read our templates

Publish exists in environments with a repository of images.
"""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.common.nag import accept, accept_registry_login
from infra.common.outputs import add_output
from infra.config.delivery import DeliveryConfig
from infra.delivery.images import ImageRepository
from infra.delivery.issuers import Issuer, list_issuers
from infra.recordings.store import RecordingStore
from transcripts.recordings.keys import CHECK, CHECK_KEY, FAILURE, beside

#: The qualifier in the names of `cdk bootstrap`'s roles, unless another one is chosen.
QUALIFIER: Final = "hnb659fds"
#: The roles that a deployment needs; each exists per account and region.
BOOTSTRAP_ROLES: Final = ("deploy", "file-publishing", "image-publishing", "lookup")
#: The longest deployment: a new CloudFront distribution, and a canary.
SESSION: Final = cdk.Duration.hours(2)


class PipelineRoles(Construct):
    """The roles that pipelines take. See the module."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        delivery: DeliveryConfig,
        environment_name: str,
        store: RecordingStore,
        smoke_key: str | None,
        gpu_service_arn: str | None,
    ) -> None:
        """Make a role of each kind for every issuer, and the repository if it is wanted.

        Deploy may also run the smoke check: upload one recording to `store`, read its outcome, read
        the API key in the parameter `smoke_key` where there are accounts, and read the state of the
        ECS service `gpu_service_arn`.
        """
        super().__init__(scope, construct_id)
        wanted = {
            "Service": ("ImageRepository", delivery.images),
            "Gpu": ("GpuImageRepository", delivery.gpu_images),
        }
        repositories = [
            ImageRepository(self, name, output=output, readers=delivery.image_readers).repository
            for name, (output, is_wanted) in wanted.items()
            if is_wanted
        ]
        for issuer in list_issuers(delivery, environment_name):
            provider = self._find_provider(issuer, exists=delivery.providers_exist)
            deploy = self._make_role(
                f"{issuer.name}Deploy", issuer, provider, issuer.subjects.deploy
            )
            deploy.add_to_policy(self._allow_deployment())
            self._let_run_smoke_check(deploy, store, smoke_key, gpu_service_arn)
            diff = self._make_role(f"{issuer.name}Diff", issuer, provider, issuer.subjects.diff)
            self._let_read_templates(diff)
            if repositories:
                publish = self._make_role(
                    f"{issuer.name}Publish", issuer, provider, issuer.subjects.publish
                )
                for images in repositories:
                    images.grant_pull_push(publish)
                    images.grant(publish, "ecr:DescribeImages")
                accept_registry_login(publish)

    def _find_provider(self, issuer: Issuer, *, exists: bool) -> str:
        """Return the ARN of the issuer's provider; make the provider unless it exists."""
        if exists:
            return cdk.Stack.of(self).format_arn(
                service="iam", region="", resource="oidc-provider", resource_name=issuer.url
            )
        return iam.OidcProviderNative(
            self, issuer.name, url=f"https://{issuer.url}", client_ids=[issuer.audience]
        ).oidc_provider_arn

    def _make_role(self, name: str, issuer: Issuer, provider: str, subject: str) -> iam.Role:
        role = iam.Role(
            self,
            name,
            description=f"For {subject}",
            max_session_duration=SESSION,
            assumed_by=iam.WebIdentityPrincipal(
                provider,
                {
                    "StringEquals": {
                        f"{issuer.url}:aud": issuer.audience,
                        f"{issuer.url}:sub": subject,
                    }
                },
            ),
        )
        add_output(self, f"{name}Role", role.role_arn, description=f"For {subject}")
        return role

    def _allow_deployment(self) -> iam.PolicyStatement:
        """Allow to take the CDK's roles, which have the rights to deploy."""
        stack = cdk.Stack.of(self)
        return iam.PolicyStatement(
            actions=["sts:AssumeRole"],
            resources=[
                stack.format_arn(
                    service="iam",
                    region="",
                    resource="role",
                    resource_name=f"cdk-{QUALIFIER}-{role}-role-{stack.account}-{stack.region}",
                )
                for role in BOOTSTRAP_ROLES
            ],
        )

    def _let_run_smoke_check(
        self,
        role: iam.Role,
        store: RecordingStore,
        smoke_key: str | None,
        gpu_service_arn: str | None,
    ) -> None:
        """Allow what `scripts.smoke` does, with its own recording only."""
        outcomes = (CHECK.transcript_key, beside(CHECK.transcript_key, FAILURE))
        bucket = store.bucket.bucket_arn
        for actions, keys in (
            (("s3:PutObject",), (CHECK_KEY,)),
            (("s3:GetObject",), outcomes),
            (("s3:DeleteObject",), (CHECK_KEY, *outcomes)),
        ):
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=list(actions), resources=[f"{bucket}/{key}" for key in keys]
                )
            )
        # Without this right S3 answers 403 whether or not there is an outcome. With a condition it
        # applies to listings only, so the check lists where others read an object.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket],
                conditions={
                    "StringEquals": {"s3:prefix": CHECK.transcript_key.removesuffix(".json")}
                },
            )
        )
        # Without a server that processes jobs, the check removes its own job.
        taking = () if gpu_service_arn else ("sqs:ReceiveMessage", "sqs:DeleteMessage")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sqs:GetQueueAttributes", *taking], resources=[store.jobs.queue_arn]
            )
        )
        if smoke_key:
            name = smoke_key.removeprefix("/")
            arn = cdk.Stack.of(self).format_arn(
                service="ssm", resource="parameter", resource_name=name
            )
            role.add_to_policy(iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[arn]))
        if gpu_service_arn:
            role.add_to_policy(
                iam.PolicyStatement(actions=["ecs:DescribeServices"], resources=[gpu_service_arn])
            )

    def _let_read_templates(self, role: iam.Role) -> None:
        """Allow to read our stacks' templates, with which `cdk diff` compares.

        The CDK's lookup role may read everything in the account. It would let the code of every
        pull request read transcripts and recordings.
        """
        stack = cdk.Stack.of(self)
        ours = f"{stack.stack_name.rpartition('-')[0]}-*"
        arn = stack.format_arn(
            service="cloudformation", resource="stack", resource_name=f"{ours}/*"
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudformation:DescribeStacks", "cloudformation:GetTemplate"],
                resources=[arn],
            )
        )
        shown = f"arn:{stack.partition}:cloudformation:{stack.region}:<AWS::AccountId>"
        accept(
            role,
            f"AwsSolutions-IAM5[Resource::{shown}:stack/{ours}/*]",
            "The stacks of this environment: AWS ends a stack's ARN in a random id, and "
            "stacks may come and go.",
        )
