"""The repositories that pipelines push images to."""

from __future__ import annotations

import re
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.common.outputs import add_output

#: The newest images that are kept; each could still be promoted.
KEPT_IMAGES: Final = 50
#: Tags with this prefix mark the images that environments run, ran before, or are about to run.
#: `scripts/keep-image.sh` moves them. Nothing is deployed by such a tag.
KEPT_TAGS: Final = "kept-"
#: More marks than there can be; each environment has three.
MOST_MARKS: Final = 1000


class ImageRepository(Construct):
    """A repository of images, the service's or the GPU server's, one for all environments.

    Attributes:
        repository: its tags are immutable except for marks (`KEPT_TAGS`), so a tag always names the
            image that was tested. A marked image never expires: the rule for marked images has the
            higher priority and never applies, and ECR's User Guide says that an image which
            matches a rule's tags cannot be expired by a rule of lower priority.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, output: str, readers: tuple[str, ...]
    ) -> None:
        """Make the repository.

        The stack's output `output` holds its address. The accounts `readers` may pull from it, too.
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
        uri = self.repository.repository_uri
        add_output(self, output, uri, description=f"{variable} of the pipelines")
