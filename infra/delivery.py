"""What pipelines may do in the account: roles without keys, and repositories for images.

A pipeline proves who it is with a token of GitHub's or Azure DevOps' own (OpenID Connect). Each
role trusts exactly one subject, so what a role is good for cannot be had from anywhere else:

    role      GitHub: who                Azure: which service connection   may
    Deploy    jobs in the environment    the given one                     deploy as the CDK does,
                                                                           and try what came of it
    Publish   jobs on the branch main    the given one + "-publish"        push and mark images
    Diff      jobs of pull requests      the given one + "-diff"           read our templates

Publish exists where a repository of images is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.environments import Delivery
from infra.security import accept
from transcripts.recordings import CHECK, CHECK_KEY, FAILURE, beside

if TYPE_CHECKING:
    from infra.gpu import GpuServer
    from infra.recordings import RecordingStore

#: The branch from which images are published and environments deployed.
BRANCH: Final = "main"
#: What `cdk bootstrap` calls its roles unless another qualifier is chosen.
QUALIFIER: Final = "hnb659fds"
#: What a deployment needs of them; each is made for one account and region.
BOOTSTRAP_ROLES: Final = ("deploy", "file-publishing", "image-publishing", "lookup")
#: The longest deployment: a new CloudFront distribution, and a canary.
SESSION: Final = cdk.Duration.hours(2)
#: Images that are kept, the newest: each that could still be promoted.
KEPT_IMAGES: Final = 50
#: Tags that begin with this mark what environments run, ran before, or are about to run. They move,
#: and `scripts/keep-image.sh` moves them. Nothing is deployed by such a tag.
KEPT_TAGS: Final = "kept-"
#: More marks than there can be: three for each environment.
MOST_MARKS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """How the jobs that may take a role are called in the tokens of one provider."""

    deploy: str
    publish: str
    diff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who issues tokens to pipelines, and what stands in them."""

    name: str
    #: Without the scheme, as IAM's conditions name it.
    url: str
    audience: str
    subjects: Subjects


def issuers(delivery: Delivery, environment_name: str) -> Iterator[Issuer]:
    """Yield the issuers that `delivery` trusts."""
    if repository := delivery.github_repository:
        yield Issuer(
            name="GitHub",
            url="token.actions.githubusercontent.com",
            audience="sts.amazonaws.com",
            subjects=Subjects(
                deploy=f"repo:{repository}:environment:{environment_name}",
                publish=f"repo:{repository}:ref:refs/heads/{BRANCH}",
                diff=f"repo:{repository}:pull_request",
            ),
        )
    if connection := delivery.azure_service_connection:
        yield Issuer(
            name="Azure",
            url=f"vstoken.dev.azure.com/{delivery.azure_organization_id}",
            audience="api://AzureADTokenExchange",
            subjects=Subjects(
                deploy=f"sc://{connection}",
                publish=f"sc://{connection}-publish",
                diff=f"sc://{connection}-diff",
            ),
        )


class ImageRepository(Construct):
    """Where pipelines push an image, the service's or the GPU server's, for all environments.

    Attributes:
        repository: tags cannot be moved, so an image that was tested stays what it is; only marks
            can (`KEPT_TAGS`). A marked image is never deleted: the rule for marked images has the
            higher priority and never applies, and ECR's User Guide says that an image which
            matches a rule's tags cannot be expired by a rule of lower priority.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, output: str, readers: tuple[str, ...]
    ) -> None:
        """Make the repository.

        The stack's output `output` has its address. The accounts `readers` may pull from it, too.
        """
        super().__init__(scope, construct_id)
        self.repository = ecr.Repository(
            self,
            "Images",
            image_tag_mutability=ecr.TagMutability.IMMUTABLE_WITH_EXCLUSION,
            image_tag_mutability_exclusion_filters=[
                ecr.ImageTagMutabilityExclusionFilter.wildcard(f"{KEPT_TAGS}*")
            ],
            image_scan_on_push=True,
            # Tasks that run need their image to start again.
            removal_policy=cdk.RemovalPolicy.RETAIN,
            lifecycle_rules=[
                ecr.LifecycleRule(
                    rule_priority=1,
                    description="what environments run, ran before, or are about to run",
                    tag_prefix_list=[KEPT_TAGS],
                    max_image_count=MOST_MARKS,
                ),
                ecr.LifecycleRule(
                    rule_priority=2,
                    description="what is too old to be promoted",
                    max_image_count=KEPT_IMAGES,
                ),
            ],
        )
        for account in readers:
            self.repository.grant_pull(iam.AccountPrincipal(account))
        variable = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", output).upper()
        _publish(self, output, self.repository.repository_uri, f"{variable} of the pipelines")


class PipelineRoles(Construct):
    """The roles that pipelines take. See the module."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        delivery: Delivery,
        environment_name: str,
        store: RecordingStore,
        gpu: GpuServer | None,
    ) -> None:
        """Make a role of each kind for every issuer, and the repositories that are wanted.

        Whoever deploys may also upload a recording to `store` and look at what becomes of it, and
        at whether the server of `gpu` runs.
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
        for issuer in issuers(delivery, environment_name):
            provider = self._provider(issuer, exists=delivery.providers_exist)
            deploy = self._role(f"{issuer.name}Deploy", issuer, provider, issuer.subjects.deploy)
            deploy.add_to_policy(self._deployment())
            self._let_try(deploy, store, gpu)
            diff = self._role(f"{issuer.name}Diff", issuer, provider, issuer.subjects.diff)
            self._let_read_templates(diff)
            if repositories:
                publish = self._role(
                    f"{issuer.name}Publish", issuer, provider, issuer.subjects.publish
                )
                for images in repositories:
                    images.grant_pull_push(publish)
                    images.grant(publish, "ecr:DescribeImages")
                _accept_login(publish)

    def _provider(self, issuer: Issuer, *, exists: bool) -> str:
        """Return the ARN of the issuer's provider, which is made unless it exists."""
        if exists:
            return cdk.Stack.of(self).format_arn(
                service="iam", region="", resource="oidc-provider", resource_name=issuer.url
            )
        return iam.OidcProviderNative(
            self, issuer.name, url=f"https://{issuer.url}", client_ids=[issuer.audience]
        ).oidc_provider_arn

    def _role(self, name: str, issuer: Issuer, provider: str, subject: str) -> iam.Role:
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
        _publish(self, f"{name}Role", role.role_arn, f"For {subject}")
        return role

    def _deployment(self) -> iam.PolicyStatement:
        """Allow to take the CDK's roles; they do the work."""
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

    def _let_try(self, role: iam.Role, store: RecordingStore, gpu: GpuServer | None) -> None:
        """Allow what `scripts.smoke` does: with one recording, and with no other."""
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
        # Without this right S3 does not say whether there is an outcome. Under a condition it
        # holds for listings alone, so the check lists where others look at an object.
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket],
                conditions={
                    "StringEquals": {"s3:prefix": CHECK.transcript_key.removesuffix(".json")}
                },
            )
        )
        # Where no server works jobs off, the check takes its own back.
        taking = () if gpu else ("sqs:ReceiveMessage", "sqs:DeleteMessage")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sqs:GetQueueAttributes", *taking], resources=[store.jobs.queue_arn]
            )
        )
        if gpu:
            role.add_to_policy(
                iam.PolicyStatement(
                    actions=["ecs:DescribeServices"], resources=[gpu.service.service_arn]
                )
            )

    def _let_read_templates(self, role: iam.Role) -> None:
        """Allow to read what `cdk diff` compares with: our stacks' templates.

        Not the CDK's lookup role: it may read everything in the account, and so would let the
        code of every pull request read transcripts and recordings.
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
            {
                f"AwsSolutions-IAM5[Resource::{shown}:stack/{ours}/*]": (
                    "The stacks of this environment: AWS ends a stack's ARN in a random id, and "
                    "stacks may come and go."
                )
            },
        )


def _accept_login(role: iam.Role) -> None:
    accept(
        role,
        {
            "AwsSolutions-IAM5[Resource::*]": (
                "ecr:GetAuthorizationToken, the log-in to the registry, has no other resource; "
                "what may be pushed to are our repositories of images."
            )
        },
    )


def _publish(scope: Construct, name: str, value: str, description: str) -> None:
    """Make an output of the stack, under this very name."""
    output = cdk.CfnOutput(scope, name, value=value, description=description)
    output.override_logical_id(name)
