"""Who may use an environment: everybody, people of a user pool, or people of an issuer of yours.

docs/access.md describes accounts and what they protect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from infra.config.formats import Email
from infra.config.parts import Check, ConfigPart, Problem, within

#: An address without a query and a fragment. Browsers and the API's function call some of them.
_HTTPS: Final = re.compile(
    r"https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?(?:/[\w.~:@!$&'()*+,=%/-]*)?", re.ASCII
)
#: Values that become a part of a list, a claim's name or a parameter of a request.
_WORD: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,256}")

_NO_ADDRESS: Final = "{!r} is not an address such as https://example.com/path"
_NO_WORD: Final = "give 1 to 256 characters of ASCII without spaces, commas, quotes and backslashes"

HttpsUrl = Annotated[str, Check(_HTTPS.fullmatch, _NO_ADDRESS)]
OptionalHttpsUrl = Annotated[str | None, Check(_HTTPS.fullmatch, _NO_ADDRESS)]
Word = Annotated[str, Check(_WORD.fullmatch, _NO_WORD)]
Words = Annotated[
    tuple[str, ...], Check(lambda words: all(map(_WORD.fullmatch, words)), f"each: {_NO_WORD}")
]


#: The group of administrators in a user pool, as `cognito:groups` names it.
ADMINISTRATORS: Final = "admins"
#: How long the first password in an invitation is valid, days.
INVITATION_DAYS: Final = 7


class OpenConfig(ConfigPart):
    """Nobody signs in: whoever reaches the environment may do everything in it."""

    kind: Literal["open"] = "open"
    #: Has to be true where the environment has a page, because everybody who knows its address can
    #: then use speech recognition at your expense.
    everyone_may_spend: bool = False


class _AccountsConfig(ConfigPart):
    """Accounts, whoever issues them."""

    #: The most concurrent invocations of the API's function. They are taken from the account's own,
    #: of which AWS wants 100 to remain; a new account may have 10 in all. None reserves none: then
    #: the API's throttling alone bounds what strangers cost.
    api_concurrency: Annotated[int | None, within(1, 1000, " invocations, or null")] = None


class CognitoConfig(_AccountsConfig):
    """A user pool of Amazon Cognito of the environment's own; nobody can sign up by themselves."""

    kind: Literal["cognito"] = "cognito"
    #: The first administrator, who gets an e-mail with a first password and invites the others. A
    #: different address makes a different person the administrator by deployment; the one before
    #: keeps the account. None: nobody can sign in, and `make deploy` refuses.
    administrator_email: Email = None
    #: Whether everybody needs an authenticator app (TOTP), and sets it up at the first sign-in.
    #: There is no choice for each person: the sign-in pages offer none, and tokens of the page
    #: cannot change an account.
    second_factor: bool = False


class OidcConfig(_AccountsConfig):
    """An issuer of yours that speaks OpenID Connect, such as Entra, Okta or Keycloak.

    The addresses are those of the issuer's `/.well-known/openid-configuration`. They are given,
    because a synth needs no network. Both clients are public ones, with PKCE.
    """

    kind: Literal["oidc"] = "oidc"
    #: Exactly what tokens have in `iss`.
    issuer: HttpsUrl
    #: What access tokens for this environment have in `aud`.
    audience: Word
    #: The client as which the page signs in; its redirect address is the page's, with a slash.
    page_client_id: Word
    #: The client as which programs sign in, at `access.messages.PROGRAM_REDIRECTS`.
    program_client_id: Word
    jwks_url: HttpsUrl
    authorization_endpoint: HttpsUrl
    token_endpoint: HttpsUrl
    #: Ends the session at the issuer; None leaves it open when somebody signs out of the page.
    logout_endpoint: OptionalHttpsUrl = None
    #: Makes refresh tokens invalid when somebody signs out.
    revocation_endpoint: OptionalHttpsUrl = None
    #: What the page and programs ask for. Many issuers want one more, which names the audience.
    scopes: Words = ("openid", "email")
    #: The claim of access tokens with a list of groups, and the administrators' group.
    groups_claim: Word = "groups"
    administrators: Word = "admins"

    def problems(self) -> Iterator[Problem]:
        """Report addresses that the page could not call, and scopes that give no account."""
        yield from super().problems()
        if "openid" not in self.scopes:
            yield "scopes", "name openid, by which an issuer recognises OpenID Connect"
        if self.revocation_endpoint is not None and origin_of(
            self.revocation_endpoint
        ) != origin_of(self.token_endpoint):
            yield (
                "revocation_endpoint",
                "is at another host than token_endpoint, the only one that the page may call",
            )


AccessConfig = Annotated[OpenConfig | CognitoConfig | OidcConfig, Field(discriminator="kind")]


def origin_of(url: str) -> str:
    """Return the scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
