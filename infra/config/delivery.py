"""The pipelines that may deploy an environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final

from infra.config.parts import Check, ConfigPart, Problem

#: As a token's subject has it; the numbers are both there or both missing.
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+|[\w.-]+@\d+/[\w.-]+@\d+")
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONNECTION: Final = re.compile(r"[^/*?]+/[^/*?]+/[^/*?]+")


class DeliveryConfig(ConfigPart):
    """Pipelines that may deploy this environment by OpenID Connect, without keys."""

    #: `owner/repository`, as the subjects of GitHub's tokens name it: with their numbers,
    #: `owner@12/repository@34`, for repositories made or renamed after July 15, 2026. Its
    #: workflows may deploy from the GitHub environment of our name.
    github_repository: Annotated[
        str | None, Check(_REPOSITORY.fullmatch, "{!r} is not of the form owner/repository")
    ] = None
    #: The organisation's GUID, and the service connection as `organisation/project/connection`.
    azure_organization_id: Annotated[str | None, Check(_GUID.fullmatch, "is not a GUID")] = None
    azure_service_connection: Annotated[
        str | None,
        Check(_CONNECTION.fullmatch, "is not of the form organisation/project/connection"),
    ] = None
    #: An account can have an identity provider only once. True if another environment of the same
    #: account, or somebody else, has made the providers.
    providers_exist: bool = False
    #: Make the repository of images that pipelines push to. One is enough for all environments.
    images: bool = False
    #: Make a second repository, for images of the GPU server.
    gpu_images: bool = False
    #: Other accounts that may pull from them, for environments that live there.
    image_readers: tuple[str, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """Report names that would admit nobody, or everybody."""
        yield from super().problems()
        repository, connection = self.github_repository, self.azure_service_connection
        images = self.images or self.gpu_images
        if not (repository or connection or self.azure_organization_id or images):
            yield "", "is empty: give whose pipelines may deploy, or images; or leave it out"
        if self.image_readers and not images:
            yield "image_readers", "read from a repository of images: set images to true"
        if not all(re.fullmatch(r"\d{12}", account) for account in self.image_readers):
            yield "image_readers", "give accounts' numbers of 12 digits"
        if (self.azure_organization_id is None) != (connection is None):
            yield "azure_organization_id", "belongs to azure_service_connection: give both"
