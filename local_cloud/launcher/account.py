"""The user's own AWS: what the shell and AWS's files say of it.

Nothing is resolved here: no network is used, no program of a profile is run and no secret is kept.
A profile that signs in (SSO), assumes a role or runs a program counts as credentials. The role of
the machine itself, from the metadata of an instance or a container, does not: nobody chose it.

The order is botocore's, so that the service finds what is found here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import botocore.session
from botocore.exceptions import ConfigParseError

from local_cloud.errors import LaunchError

#: What a profile has one of when it leads to credentials.
_WAYS: Final = (
    "aws_access_key_id",
    "credential_process",
    "login_session",
    "role_arn",
    "sso_account_id",
)
_INSTEAD: Final = "TRANSCRIBE_ENDPOINT=local does without AWS."


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of the user's AWS before anybody asks it."""

    #: Where its credentials are, in words; `None` when there are none.
    credentials: str | None = None
    region: str | None = None
    #: What all of AWS's addresses are replaced with; `None` when they are not.
    elsewhere: str | None = None
    #: Whether the key is one that only emulators take.
    emulated: bool = False

    @property
    def is_real(self) -> bool:
        """Whether there are credentials, and they are meant for AWS itself."""
        return self.credentials is not None and not self.emulated and self.elsewhere is None

    @classmethod
    def parse(
        cls, environment: Mapping[str, str], profiles: Mapping[str, Mapping[str, Any]]
    ) -> Account:
        """Return the account that these variables and profiles lead to.

        Raises:
            LaunchError: they lead nowhere, or to what cannot be used here.
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
        elsewhere = environment.get("AWS_ENDPOINT_URL") or profile.get("endpoint_url")
        return cls(
            credentials=credentials,
            region=region or profile.get("region") or None,
            elsewhere=None if ignores_endpoints(environment, profile) else elsewhere or None,
            emulated=key.startswith("test"),  # those of AWS are in capitals
        )


def look(environment: Mapping[str, str]) -> Account:
    """Return what `environment` and the files that it names, or AWS's usual ones, lead to.

    Raises:
        LaunchError: see `Account.parse`; or a file cannot be parsed.
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
    return Account.parse(environment, profiles)


def ignores_endpoints(
    environment: Mapping[str, str], profile: Mapping[str, Any] | None = None
) -> bool:
    """Tell whether AWS's SDKs are told to take no notice of variables with endpoints."""
    switch = environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or (profile or {}).get(
        "ignore_configured_endpoint_urls"
    )
    return str(switch).lower() == "true"


def _credentials(
    environment: Mapping[str, str], name: str, profile: Mapping[str, Any]
) -> tuple[str | None, str]:
    """Return where credentials are, in words, and the access key if it is there to be read.

    Raises:
        LaunchError: they are incomplete, or ask for somebody at a keyboard.
    """
    if key := environment.get("AWS_ACCESS_KEY_ID"):
        if not environment.get("AWS_SECRET_ACCESS_KEY"):
            raise LaunchError(f"AWS_ACCESS_KEY_ID is set without its secret. {_INSTEAD}")
        return "the environment", key
    by_token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
    if all(map(environment.get, by_token)) and not profile.get("role_arn"):
        return "the environment", ""
    if not any(map(profile.get, _WAYS)):
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
