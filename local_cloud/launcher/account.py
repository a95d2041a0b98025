"""The user's AWS account, as far as environment variables and AWS's files name it.

Nothing is resolved: no network is used, no program of a profile is run and no secret is kept. A
profile that signs in (SSO), assumes a role or runs a program counts as credentials. The role of
the machine, from the metadata of an instance or a container, does not: the user did not choose it.

The order of the sources is botocore's, so that the service finds the same credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import botocore.session
from botocore.exceptions import ConfigParseError

from local_cloud.emulator.environment import ignores_endpoints
from local_cloud.errors import LaunchError

#: Settings of a profile; one that leads to credentials has at least one of these.
_SOURCES: Final = (
    "aws_access_key_id",
    "credential_process",
    "login_session",
    "role_arn",
    "sso_account_id",
)
_INSTEAD: Final = "TRANSCRIBE_ENDPOINT=local does without AWS."


@dataclass(frozen=True, slots=True)
class AwsAccount:
    """The credentials, region and endpoint that are configured; AWS was not asked."""

    #: The source of the credentials, in words; `None` if there are none.
    credentials: str | None = None
    region: str | None = None
    #: The address that replaces all of AWS's; `None` when there is none.
    endpoint: str | None = None
    #: Whether the key is one that only emulators accept.
    is_emulated: bool = False

    @property
    def is_real(self) -> bool:
        """Whether there are credentials, and they are meant for AWS itself."""
        return self.credentials is not None and not self.is_emulated and self.endpoint is None

    @classmethod
    def parse(
        cls, environment: Mapping[str, str], profiles: Mapping[str, Mapping[str, Any]]
    ) -> AwsAccount:
        """Return the account that these variables and profiles lead to.

        Raises:
            LaunchError: the profile is missing, or its credentials cannot be used here.
        """
        name = environment.get("AWS_DEFAULT_PROFILE") or environment.get("AWS_PROFILE")
        if name and name not in profiles:
            raise LaunchError(f'AWS\'s files have no profile "{name}" (AWS_PROFILE). {_INSTEAD}')
        profile = profiles.get(name or "default", {})
        credentials, key = _credentials(environment, name or "default", profile)
        if re.fullmatch("[0-9]{12}", key):
            raise LaunchError(
                "The AWS access key is a number of 12 digits. None of AWS is, and the emulator "
                f"takes it for the number of another account. Unset it. {_INSTEAD}"
            )
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        endpoint = environment.get("AWS_ENDPOINT_URL") or profile.get("endpoint_url")
        return cls(
            credentials=credentials,
            region=region or profile.get("region") or None,
            endpoint=None if ignores_endpoints(environment, profile) else endpoint or None,
            is_emulated=key.startswith("test"),  # those of AWS are in capitals
        )


def find_account(environment: Mapping[str, str]) -> AwsAccount:
    """Return the account of `environment` and of the files that it names, or of AWS's usual files.

    Raises:
        LaunchError: see `AwsAccount.parse`; or a file cannot be parsed.
    """
    session = botocore.session.Session()
    for variable, name, usual in (
        ("AWS_CONFIG_FILE", "config_file", "~/.aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials_file", "~/.aws/credentials"),
    ):
        session.set_config_variable(name, environment.get(variable) or usual)
    try:
        profiles = session.full_config["profiles"]
    except ConfigParseError as error:
        raise LaunchError(f"AWS's file {error.kwargs['path']} is broken. {_INSTEAD}") from None
    return AwsAccount.parse(environment, profiles)


def _credentials(
    environment: Mapping[str, str], name: str, profile: Mapping[str, Any]
) -> tuple[str | None, str]:
    """Return where the credentials are, in words, and the access key where it can be read.

    Raises:
        LaunchError: they are incomplete, or would ask the user for a code.
    """
    if key := environment.get("AWS_ACCESS_KEY_ID"):
        if not environment.get("AWS_SECRET_ACCESS_KEY"):
            raise LaunchError(f"AWS_ACCESS_KEY_ID is set without its secret. {_INSTEAD}")
        return "the environment", key
    by_token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
    if all(map(environment.get, by_token)) and not profile.get("role_arn"):
        return "the environment", ""
    if not any(map(profile.get, _SOURCES)):
        return None, ""
    found = f'the profile "{name}"'
    if profile.get("role_arn"):
        if profile.get("mfa_serial"):
            raise LaunchError(
                f"{found[0].upper()}{found[1:]} asks for a code (mfa_serial), and the service "
                "cannot ask you. Sign in first: "
                f'eval "$(aws configure export-credentials --profile {name} --format env)". '
                f"{_INSTEAD}"
            )
        return found, ""
    key = str(profile.get("aws_access_key_id") or "")
    if key and not profile.get("aws_secret_access_key"):
        raise LaunchError(f"{found[0].upper()}{found[1:]} has a key without its secret. {_INSTEAD}")
    return found, key
