"""The GPU server's image: built from a folder, or an existing one.

FileNotFoundError
└── MissingDockerfile    the environment names a folder without a Dockerfile
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aws_cdk import IgnoreMode
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.common.artifacts import ROOT
from infra.common.images import LICENCE_FILES, refer_to_image

#: Folders that the Dockerfile may copy besides its own; see ARCHITECTURE.md, "Rooms".
SHARED_ROOMS: Final = ("foundation", "speech", "transcripts")


class MissingDockerfile(FileNotFoundError):
    """An image is to be built from a folder without a Dockerfile."""


def choose_image(
    scope: Construct, image: str, arguments: Mapping[str, str], *, root: Path = ROOT
) -> ecs.ContainerImage:
    """Return the image that an environment names.

    Args:
        scope: where a repository is referred to.
        image: an image with tag or digest, or a folder with a Dockerfile, relative to `root`.
            The Dockerfile is built from the folder above it, of which it sees its own folder,
            `SHARED_ROOMS` and `LICENCE_FILES`.
        arguments: what the Dockerfile is given, where one is built.
        root: the repository.

    Raises:
        MissingDockerfile: it is a folder, and there is no Dockerfile in it.
    """
    if ":" in image:
        return refer_to_image(scope, image)
    folder = (root / image).resolve()
    if not (folder / "Dockerfile").is_file():
        raise MissingDockerfile(
            f"gpu.image: {folder / 'Dockerfile'} is missing; give the folder of a Dockerfile, or "
            "an image with tag or digest"
        )
    return ecs.ContainerImage.from_asset(
        str(folder.parent),
        file=f"{folder.name}/Dockerfile",
        build_args=dict(arguments),
        exclude=[
            "*",
            *(f"!{name}" for name in (folder.name, *SHARED_ROOMS, *LICENCE_FILES)),
            "**/__pycache__",
        ],
        ignore_mode=IgnoreMode.DOCKER,
        platform=ecr_assets.Platform.LINUX_AMD64,
    )
