"""What the container images have in common, and existing ones named with a tag or a digest."""

from __future__ import annotations

import re
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from constructs import Construct

#: Files of the tree that each Dockerfile copies beside the code.
LICENCE_FILES: Final = ("LICENSE", "NOTICE")

_ECR: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<name>[^:@]+)(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def refer_to_image(scope: Construct, image: str) -> ecs.ContainerImage:
    """Return an image by its address; a reference to its repository is made in `scope`.

    If the repository is in Amazon ECR, the task gets the right to pull from it.
    """
    ours = _ECR.fullmatch(image)
    if ours is None:
        return ecs.ContainerImage.from_registry(image)
    repository = ecr.Repository.from_repository_attributes(
        scope,
        "Repository",
        repository_name=ours["name"],
        repository_arn=Stack.of(scope).format_arn(
            service="ecr",
            account=ours["account"],
            region=ours["region"],
            resource="repository",
            resource_name=ours["name"],
        ),
    )
    return ecs.ContainerImage.from_ecr_repository(repository, ours["digest"] or ours["tag"])
