"""The user pool: people with accounts, the pages where they sign in, and the first administrator.

Nobody can sign up. The first administrator is in the environment and gets an e-mail with a first
password; administrators invite the others. Signing in by the pool's own API is impossible, because
tokens of that API would let people change their account (see `infra.access.clients`).
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Aws, Duration, Fn, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from infra.common.nag import accept_all
from infra.common.outputs import add_outputs
from infra.config.access import ADMINISTRATORS, INVITATION_DAYS, CognitoConfig
from infra.config.data import DataConfig

#: The shortest password, characters. NIST SP 800-63B-4 (3.1.1.2) wants 15 where a password is the
#: only factor, and advises against rules on the kinds of characters.
PASSWORD_LENGTH: Final = 15


class People(Construct):
    """The user pool with its sign-in pages.

    Attributes:
        pool: the user pool, whose `sub`s are in the table of rights: never replace it.
        domain: the address of the sign-in pages.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        access: CognitoConfig,
        data: DataConfig,
        page: str | None,
    ) -> None:
        """Make the pool.

        Args:
            scope: the parent.
            construct_id: the id in it.
            access: has the first administrator, and whether people need a second factor.
            data: sets protection.
            page: the page's address for invitations, if it is known before the deployment.
        """
        super().__init__(scope, construct_id)
        self.pool = self._make_pool(access, data, page)
        # Domain prefixes are unique among all accounts of a region. The stack's id is, and it is
        # known only to those who may describe the stack; an account's number has to be hidden.
        stack_id = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        self.domain = cognito.UserPoolDomain(
            self,
            "Domain",
            user_pool=self.pool,
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=f"cloudscribe-{stack_id}"),
            managed_login_version=cognito.ManagedLoginVersion.NEWER_MANAGED_LOGIN,
        )
        group = cognito.CfnUserPoolGroup(
            self,
            "Administrators",
            user_pool_id=self.pool.user_pool_id,
            group_name=ADMINISTRATORS,
            description="Invite and block people",
        )
        if access.administrator_email:
            self._make_administrator(access.administrator_email, group)
        add_outputs(self, UserPoolId=self.pool.user_pool_id)

    def _make_pool(
        self, access: CognitoConfig, data: DataConfig, page: str | None
    ) -> cognito.UserPool:
        pool = cognito.UserPool(
            self,
            "Pool",
            feature_plan=cognito.FeaturePlan.ESSENTIALS,
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            sign_in_case_sensitive=False,
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            mfa=cognito.Mfa.REQUIRED if access.second_factor else cognito.Mfa.OFF,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False)
            if access.second_factor
            else None,
            password_policy=cognito.PasswordPolicy(
                min_length=PASSWORD_LENGTH,
                require_digits=False,
                require_lowercase=False,
                require_symbols=False,
                require_uppercase=False,
                temp_password_validity=Duration.days(INVITATION_DAYS),
            ),
            user_invitation=cognito.UserInvitationConfig(
                email_subject="Your account of Cloudscribe", email_body=_invitation(page)
            ),
            deletion_protection=data.protected,
            removal_policy=RemovalPolicy.RETAIN if data.protected else RemovalPolicy.DESTROY,
        )
        plus = (
            "Threat protection needs the plan Plus, at $0.02 for each person a month; the plan "
            "Essentials limits attempts with wrong passwords."
        )
        accept_all(
            pool,
            {
                "AwsSolutions-COG1": f"{PASSWORD_LENGTH} characters are asked for, of any kind: "
                "length is what counts (NIST SP 800-63B-4).",
                "AwsSolutions-COG2": "A choice of the environment (access.second_factor), for all "
                "of its people.",
                "AwsSolutions-COG3": plus,
                "AwsSolutions-COG8": plus,
            },
        )
        return pool

    def _make_administrator(self, email: str, group: cognito.CfnUserPoolGroup) -> None:
        user = cognito.CfnUserPoolUser(
            self,
            "Administrator",
            user_pool_id=self.pool.user_pool_id,
            username=email,
            desired_delivery_mediums=["EMAIL"],
            user_attributes=[
                cognito.CfnUserPoolUser.AttributeTypeProperty(name=name, value=value)
                for name, value in (("email", email), ("email_verified", "true"))
            ],
        )
        # Conversations belong to a person for good; another address must not delete the account.
        user.apply_removal_policy(RemovalPolicy.RETAIN)
        membership = cognito.CfnUserPoolUserToGroupAttachment(
            self,
            "AdministratorInGroup",
            user_pool_id=self.pool.user_pool_id,
            username=user.ref,
            group_name=group.ref,
        )
        membership.add_resource_dependency(user)


def _invitation(page: str | None) -> str:
    where = f"at {page}" if page else "at the address that your administrator gives you"
    return (
        "You have an account of Cloudscribe.<br><br>"
        f"Sign in {where} as {{username}}, with the first password {{####}}<br>"
        f"It is valid for {INVITATION_DAYS} days, and you choose another one when you sign in."
    )
