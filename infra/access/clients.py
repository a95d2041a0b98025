"""The clients as which people sign in at the user pool: the page, and programs.

Both are public clients, which have no secret and prove themselves by PKCE. They can do two things:
exchange a code of the sign-in pages, and refresh a token. Cognito would also allow signing in by
its API unless flows are named. One flow is named that nobody can use: custom authentication, for
which the pool has no function. So no token has the scope `aws.cognito.signin.user.admin`, with
which people could change their e-mail address or delete the account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from access.messages import PROGRAM_REDIRECTS

#: How long an access token lasts. A person who is removed loses access with it; the page renews it.
ACCESS: Final = Duration.minutes(15)
#: How long a person stays signed in without a password.
REFRESH: Final = Duration.days(30)
#: A refresh token that was exchanged stays valid for so long, for an answer that was lost.
GRACE: Final = Duration.seconds(60)


class Clients(Construct):
    """The two clients, with Cognito's own look of their sign-in pages.

    Attributes:
        page: the client of the page.
        program: the client of programs such as `python -m client`.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, pool: cognito.IUserPool, page: str
    ) -> None:
        """Make the clients of a pool; `page` is the page's address without a slash."""
        super().__init__(scope, construct_id)
        self.page = self._make("Page", pool, [f"{page}/"])
        self.program = self._make("Program", pool, PROGRAM_REDIRECTS)

    def _make(
        self, name: str, pool: cognito.IUserPool, redirects: Sequence[str]
    ) -> cognito.UserPoolClient:
        client = cognito.UserPoolClient(
            self,
            name,
            user_pool=pool,
            generate_secret=False,
            auth_flows=cognito.AuthFlow(custom=True),
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID, cognito.OAuthScope.EMAIL],
                callback_urls=list(redirects),
                logout_urls=list(redirects),
            ),
            supported_identity_providers=[cognito.UserPoolClientIdentityProvider.COGNITO],
            read_attributes=cognito.ClientAttributes().with_standard_attributes(
                email=True, email_verified=True
            ),
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            access_token_validity=ACCESS,
            id_token_validity=ACCESS,
            refresh_token_validity=REFRESH,
            refresh_token_rotation_grace_period=GRACE,
        )
        # Without a look of its own a client's pages answer with an error.
        cognito.CfnManagedLoginBranding(
            self,
            f"{name}Look",
            user_pool_id=pool.user_pool_id,
            client_id=client.user_pool_client_id,
            use_cognito_provided_values=True,
        )
        return client
