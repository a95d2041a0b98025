"""The pipelines that may deploy an environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from infra.config.parts import ConfigPart, Problem

#: As a token's subject has it; the numbers are both there or both missing.
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+|[\w.-]+@\d+/[\w.-]+@\d+")


class DeliveryConfig(ConfigPart):
    """Pipelines that may deploy this environment by OpenID Connect, without keys."""

    #: `owner/repository`, as the subjects of GitHub's tokens name it: with their numbers,
    #: `owner@12/repository@34`, for repositories made or renamed after July 15, 2026. Its
    #: workflows may deploy from the GitHub environment of our name.
    github_repository: str | None = None
    #: The organisation's GUID, and the service connection as `organisation/project/connection`.
    azure_organization_id: str | None = None
    azure_service_connection: str | None = None
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
        """Yield names that would admit nobody, or everybody."""
        repository, connection = self.github_repository, self.azure_service_connection
        images = self.images or self.gpu_images
        if not (repository or connection or self.azure_organization_id or images):
            yield "", "is empty: give whose pipelines may deploy, or images; or leave it out"
        if repository is not None and not _REPOSITORY.fullmatch(repository):
            yield "github_repository", f"{repository!r} is not of the form owner/repository"
        if self.image_readers and not images:
            yield "image_readers", "read from a repository of images: set images to true"
        if not all(re.fullmatch(r"\d{12}", account) for account in self.image_readers):
            yield "image_readers", "give accounts' numbers of 12 digits"
        if connection is not None and not re.fullmatch(r"[^/*?]+/[^/*?]+/[^/*?]+", connection):
            yield "azure_service_connection", "is not of the form organisation/project/connection"
        if (self.azure_organization_id is None) != (connection is None):
            yield "azure_organization_id", "belongs to azure_service_connection: give both"
        guid = self.azure_organization_id
        if guid is not None and not re.fullmatch(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", guid
        ):
            yield "azure_organization_id", "is not a GUID"
