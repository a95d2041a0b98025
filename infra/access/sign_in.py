"""Where people sign in and whose tokens count: the environment's pool, or an issuer of yours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from access.messages import AccountAccess
from infra.access.clients import Clients
from infra.access.people import People
from infra.config.access import ADMINISTRATORS, OidcConfig


@dataclass(frozen=True, slots=True)
class SignIn:
    """What the page and the API's function have to know of the issuer.

    Attributes:
        access: what `access.json` says to the page and to programs.
        settings: environment variables of the API's function.
    """

    access: AccountAccess
    settings: Mapping[str, str]


def at_user_pool(people: People, clients: Clients) -> SignIn:
    """Return the sign-in at the environment's user pool."""
    issuer = people.pool.user_pool_provider_url
    pages = people.domain.base_url()
    return SignIn(
        AccountAccess(
            issuer=issuer,
            page_client_id=clients.page.user_pool_client_id,
            program_client_id=clients.program.user_pool_client_id,
            authorization_endpoint=f"{pages}/oauth2/authorize",
            token_endpoint=f"{pages}/oauth2/token",
            logout_endpoint=f"{pages}/logout",
            revocation_endpoint=f"{pages}/oauth2/revoke",
        ),
        {
            "ISSUER": issuer,
            "JWKS_URL": f"{issuer}/.well-known/jwks.json",
            "TOKEN_KIND": "cognito",
            "AUDIENCES": ",".join(
                client.user_pool_client_id for client in (clients.page, clients.program)
            ),
            "GROUPS_CLAIM": "cognito:groups",
            "ADMINISTRATORS": ADMINISTRATORS,
            "USER_POOL_ID": people.pool.user_pool_id,
        },
    )


def at_issuer(chosen: OidcConfig) -> SignIn:
    """Return the sign-in at an issuer of yours."""
    return SignIn(
        AccountAccess(
            issuer=chosen.issuer,
            page_client_id=chosen.page_client_id,
            program_client_id=chosen.program_client_id,
            authorization_endpoint=chosen.authorization_endpoint,
            token_endpoint=chosen.token_endpoint,
            logout_endpoint=chosen.logout_endpoint,
            revocation_endpoint=chosen.revocation_endpoint,
            scopes=chosen.scopes,
        ),
        {
            "ISSUER": chosen.issuer,
            "JWKS_URL": chosen.jwks_url,
            "TOKEN_KIND": "oidc",
            "AUDIENCES": chosen.audience,
            "GROUPS_CLAIM": chosen.groups_claim,
            "ADMINISTRATORS": chosen.administrators,
        },
    )
