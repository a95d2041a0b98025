"""The user pool of the demo: where people sign in, and the clients that send them there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from access.messages import PROGRAM_REDIRECTS
from local_cloud.emulator.environment import REGION

NAME: Final = "cloudscribe-local"
ADMINISTRATORS: Final = "admins"
SCOPES: Final = ("openid", "email")
#: How long an access token lasts, minutes, and a refresh token, days.
ACCESS_MINUTES: Final = 60
REFRESH_DAYS: Final = 30
#: The shortest password, characters. Length is what counts, so no kinds of characters are required.
PASSWORD_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class UserPool:
    """The pool, and the public clients of the page and of programs."""

    pool_id: str
    page_client_id: str
    program_client_id: str

    @property
    def issuer(self) -> str:
        """What the pool's tokens name as their issuer. The emulator writes AWS's address, too."""
        return f"https://cognito-idp.{REGION}.amazonaws.com/{self.pool_id}"

    @property
    def keys_path(self) -> str:
        """The path of the pool's public keys at the emulator."""
        return f"/{self.pool_id}/.well-known/jwks.json"


def set_up_pool(cognito: Any, page_redirects: Sequence[str]) -> UserPool:
    """Return the pool, made or brought up to date; `page_redirects` are addresses of the page."""
    pools = cognito.list_user_pools(MaxResults=60)["UserPools"]
    pool_id = next((pool["Id"] for pool in pools if pool["Name"] == NAME), None)
    if pool_id is None:
        pool_id = _create_pool(cognito)
    known = {
        client["ClientName"]: client["ClientId"]
        for client in cognito.list_user_pool_clients(UserPoolId=pool_id, MaxResults=60)[
            "UserPoolClients"
        ]
    }
    return UserPool(
        pool_id,
        _set_up_client(cognito, pool_id, "page", known, page_redirects),
        _set_up_client(cognito, pool_id, "program", known, PROGRAM_REDIRECTS),
    )


def _create_pool(cognito: Any) -> str:
    created = cognito.create_user_pool(
        PoolName=NAME,
        UsernameAttributes=["email"],
        AutoVerifiedAttributes=["email"],
        AdminCreateUserConfig={"AllowAdminCreateUserOnly": True},
        Policies={
            "PasswordPolicy": {
                "MinimumLength": PASSWORD_LENGTH,
                "RequireLowercase": False,
                "RequireNumbers": False,
                "RequireSymbols": False,
                "RequireUppercase": False,
            }
        },
    )
    pool_id: str = created["UserPool"]["Id"]
    cognito.create_group(UserPoolId=pool_id, GroupName=ADMINISTRATORS)
    return pool_id


def _set_up_client(
    cognito: Any, pool_id: str, name: str, known: dict[str, str], redirects: Sequence[str]
) -> str:
    """Return the id of a public client; its redirect addresses follow `PORT`."""
    settings = {
        "UserPoolId": pool_id,
        "ClientName": name,
        "AllowedOAuthFlows": ["code"],
        "AllowedOAuthFlowsUserPoolClient": True,
        "AllowedOAuthScopes": list(SCOPES),
        "CallbackURLs": list(redirects),
        "LogoutURLs": list(redirects),
        "ExplicitAuthFlows": [],
        "SupportedIdentityProviders": ["COGNITO"],
        "PreventUserExistenceErrors": "ENABLED",
        "EnableTokenRevocation": True,
        "AccessTokenValidity": ACCESS_MINUTES,
        "RefreshTokenValidity": REFRESH_DAYS,
        "TokenValidityUnits": {"AccessToken": "minutes", "RefreshToken": "days"},
    }
    if name in known:
        cognito.update_user_pool_client(ClientId=known[name], **settings)
        return known[name]
    client_id: str = cognito.create_user_pool_client(GenerateSecret=False, **settings)[
        "UserPoolClient"
    ]["ClientId"]
    return client_id
