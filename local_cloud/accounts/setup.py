"""Sets up the accounts of the demo in the emulator, and says what the other parts need of them.

A start that finds everything there makes a dozen calls, which take less than a second.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from foundation.json_files import WrongFile
from local_cloud import ROOT
from local_cloud.accounts import people
from local_cloud.accounts.api import (
    find_or_make_secret,
    set_up_function,
    set_up_http_api,
    set_up_table,
)
from local_cloud.accounts.people import SeededPerson, set_up_people
from local_cloud.accounts.pool import ADMINISTRATORS, UserPool, set_up_pool
from local_cloud.edge.accounts import EdgeAccounts
from local_cloud.emulator.process import Emulator, EmulatorError
from local_cloud.errors import LaunchError

#: The folder of the function in `lambdas/`.
API: Final = "api"
SOURCES: Final = ROOT / "build" / "functions" / API
#: The parameters with the private keys of tickets, and the one with the edge's secret.
TICKET_KEYS: Final = "/cloudscribe/local/ticket-keys"
EDGE_SECRET: Final = "/cloudscribe/local/edge-secret"  # noqa: S105 - a parameter's name
NAMESPACE: Final = "Cloudscribe/local"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of a running demo.

    Attributes:
        table: the table of rights, for the service.
        edge: what the edge serves of them.
        people: who can sign in.
        file: where the passwords are kept.
    """

    table: str
    edge: EdgeAccounts
    people: tuple[SeededPerson, ...]
    file: Path


def set_up(
    emulator: Emulator,
    folder: Path,
    page: Sequence[str],
    recordings: str,
    sources: Path = SOURCES,
) -> Accounts:
    """Set up the accounts in a running emulator.

    Args:
        emulator: where they are.
        folder: of the demo's data; the passwords are kept there.
        page: the addresses of the page, such as `http://127.0.0.1:8080`.
        recordings: the name of the bucket of recordings.
        sources: the code of the API's function.

    Raises:
        LaunchError: something is missing or cannot be set up; the message is for people.
    """
    file = folder / people.NAME
    try:
        return _set_up(emulator, file, page, recordings, sources)
    except WrongFile as error:
        raise LaunchError(
            f"{error} ({file.parent}). Remove it, and new passwords are made."
        ) from None
    except (EmulatorError, BotoCoreError, ClientError) as error:
        raise LaunchError(f"The accounts cannot be set up: {error}") from error


def _set_up(
    emulator: Emulator, file: Path, page: Sequence[str], recordings: str, sources: Path
) -> Accounts:
    cognito = emulator.client("cognito-idp")
    # The page takes the answer at its root: it has one document.
    pool = set_up_pool(cognito, [f"{origin}/" for origin in page])
    seeded = set_up_people(cognito, pool, file)
    table = set_up_table(emulator.client("dynamodb"))
    secret = find_or_make_secret(emulator.client("ssm"), EDGE_SECRET, secrets.token_urlsafe(32))
    set_up_function(
        emulator.client("lambda"),
        sources,
        API,
        function_environment(emulator.endpoint, pool, table, secret, recordings),
    )
    api = set_up_http_api(emulator.client("apigatewayv2"))
    edge = EdgeAccounts(
        aws=emulator.endpoint,
        api_path=api.path,
        secret=secret,
        issuer=pool.issuer,
        page_client_id=pool.page_client_id,
        program_client_id=pool.program_client_id,
    )
    return Accounts(table, edge, seeded, file)


def function_environment(
    endpoint: str, pool: UserPool, table: str, edge_secret: str, recordings: str
) -> dict[str, str]:
    """Return the variables of the API's function."""
    return {
        "ACCESS_TABLE": table,
        "ADMINISTRATORS": ADMINISTRATORS,
        "AUDIENCES": f"{pool.page_client_id},{pool.program_client_id}",
        "EDGE_SECRET": edge_secret,
        "GROUPS_CLAIM": "cognito:groups",
        "ISSUER": pool.issuer,
        # Tokens name AWS's address, where this pool is not.
        "JWKS_URL": f"{endpoint}{pool.keys_path}",
        "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
        "RECORDINGS_BUCKET": recordings,
        "TICKET_KEYS": TICKET_KEYS,
        "TOKEN_KIND": "cognito",
        "USER_POOL_ID": pool.pool_id,
    }
