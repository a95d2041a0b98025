"""The environments of processes around the emulator: which AWS each uses, and its credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
#: The emulator checks no signatures; a real account would refuse these.
ACCESS_KEY_ID: Final = "test"
SECRET_ACCESS_KEY: Final = "test"  # noqa: S105 - see above
#: The AWS services that the emulator provides for the WebSocket service, as the SDKs' endpoint
#: variables name them.
EMULATED: Final = ("DYNAMODB", "SQS")

#: The variables that the emulator's process gets from the user's shell. Functions inherit its
#: environment, so anything else in the shell could be taken for one of their settings.
_KEPT: Final = frozenset({"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "USER"})


def isolated_environment(endpoint: str, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` for a child process whose AWS is at `endpoint` and nowhere else.

    Every variable that AWS's SDKs read is dropped: a profile, credentials, an endpoint of a
    single service or a switch that ignores endpoints would lead to a real account. Proxies
    stay, for other addresses, but not for the loopback address.
    """
    return (
        {name: value for name, value in base.items() if not name.startswith("AWS_")}
        | _without_proxy(base)
        | {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
    )


def shared_environment(endpoint: str, base: Mapping[str, str]) -> dict[str, str]:
    """Return `base` for the service when its queues and tables are at `endpoint`, all else in AWS.

    The user's variables for AWS stay, but for those that would lead queues and tables elsewhere;
    the variables below take precedence over anything in a profile. The region is the emulator's,
    which keeps its data by region. Other services have settings for their regions.

    The emulator sees the user's access key and session token with each call, as both are part of
    a signature, but never the secret.
    """
    kept = {name: value for name, value in base.items() if value or not name.startswith("AWS_")}
    if ignores_endpoints(base):  # below, nothing is ignored any more
        kept = {n: value for n, value in kept.items() if not n.startswith("AWS_ENDPOINT_URL")}
    return (
        kept
        | _without_proxy(base)
        | {f"AWS_ENDPOINT_URL_{service}": endpoint for service in EMULATED}
        | {
            "AWS_DEFAULT_REGION": REGION,
            # Set, and not only left out, because a profile may set it as well.
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_REGION": REGION,
        }
    )


def emulator_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the emulator itself, which its functions inherit."""
    return {name: value for name, value in base.items() if name in _KEPT or name.startswith("LC_")}


def ignores_endpoints(
    environment: Mapping[str, str], profile: Mapping[str, Any] | None = None
) -> bool:
    """Return whether AWS's SDKs are configured to ignore variables with endpoints."""
    switch = environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or (profile or {}).get(
        "ignore_configured_endpoint_urls"
    )
    return str(switch).lower() == "true"


def _without_proxy(base: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep the loopback address off proxies."""
    return {
        name: ",".join(filter(None, (base.get(name), "127.0.0.1", "localhost")))
        for name in ("NO_PROXY", "no_proxy")
    }
