"""The function behind the API of accounts, with no more rights than its code uses."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.access.entrance import ApiEntrance
from infra.access.people import People
from infra.access.sign_in import SignIn
from infra.access.store import AccessStore
from infra.common.edge_secret import refer_to_value
from infra.common.functions import FunctionSettings, PythonFunction
from infra.common.nag import accept
from transcripts.functions import API

TIMEOUT: Final = Duration.seconds(10)
#: Lambda gives a function CPU in proportion to its memory; this is 0.58 of a vCPU. A cold start
#: imports for half a second of CPU time.
MEMORY_MIB: Final = 1024
#: What `access.store` and `lambdas.api.people` call. A transaction needs the rights of its writes.
TABLE_RIGHTS: Final = (
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
)
PEOPLE_RIGHTS: Final = (
    "cognito-idp:AdminAddUserToGroup",
    "cognito-idp:AdminCreateUser",
    "cognito-idp:AdminDisableUser",
    "cognito-idp:AdminEnableUser",
    "cognito-idp:AdminGetUser",
    "cognito-idp:AdminUserGlobalSignOut",
    "cognito-idp:ListUsers",
    "cognito-idp:ListUsersInGroup",
)


class AccountsApi(Construct):
    """Manages conversations, links, keys, people and recordings, and signs tickets.

    Attributes:
        function: `lambdas/api`.
        entrance: the HTTP API before it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: FunctionSettings,
        entrance: ApiEntrance,
        store: AccessStore,
        recordings_bucket: str,
        recording_days: int | None,
        sign_in: SignIn,
        people: People | None,
        concurrency: int | None,
    ) -> None:
        """Make the function behind `entrance`.

        Args:
            scope: the parent.
            construct_id: the id in it.
            settings: those of all functions.
            entrance: passes requests on.
            store: the table of rights.
            recordings_bucket: the name of the bucket of recordings. The caller allows `role` what
                it needs there (`infra.recordings.access.allow_people`).
            recording_days: how long the bucket keeps a recording; None for ever.
            sign_in: whose tokens count.
            people: the pool in which administrators invite people; None if they cannot.
            concurrency: the most invocations at once; None reserves none.
        """
        super().__init__(scope, construct_id)
        self.entrance = entrance
        self.function = PythonFunction(
            self,
            "Function",
            settings=settings,
            name=API,
            environment={
                "ACCESS_TABLE": store.table.table_name,
                "TICKET_KEYS": store.ticket_keys,
                "RECORDINGS_BUCKET": recordings_bucket,
                **({} if recording_days is None else {"RECORDING_DAYS": str(recording_days)}),
                "EDGE_SECRET": refer_to_value(entrance.secret),
                **sign_in.settings,
            },
            timeout=TIMEOUT,
            memory_mib=MEMORY_MIB,
            concurrency=concurrency,
        )
        self._allow(store, people)
        entrance.serve(self.function.alias, TIMEOUT)
        accept(
            self.function.function,
            "Serverless-LambdaDLQ",
            "Callers wait for the answer; there is no event to keep.",
        )

    @property
    def role(self) -> iam.IRole:
        """The role of the function."""
        role = self.function.function.role
        assert role is not None  # noqa: S101 - for mypy; `PythonFunction` gives one
        return role

    def _allow(self, store: AccessStore, people: People | None) -> None:
        keys = Stack.of(self).format_arn(
            service="ssm",
            resource="parameter",
            resource_name=f"{store.ticket_keys.removeprefix('/')}/*",
        )
        statements = [
            iam.PolicyStatement(actions=list(TABLE_RIGHTS), resources=[store.table.table_arn]),
            iam.PolicyStatement(
                actions=["ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"],
                resources=[keys],
            ),
            # A private key that exists is never replaced: others sign with it.
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=["ssm:PutParameter"],
                resources=[keys],
                conditions={"StringEquals": {"ssm:Overwrite": "true"}},
            ),
        ]
        if people is not None:
            statements.append(
                iam.PolicyStatement(
                    actions=list(PEOPLE_RIGHTS), resources=[people.pool.user_pool_arn]
                )
            )
        role = self.role
        for statement in statements:
            role.add_to_principal_policy(statement)
        stack = Stack.of(self)
        shown = (
            f"arn:{stack.partition}:ssm:{stack.region}:<AWS::AccountId>:parameter"
            f"{store.ticket_keys}/*"
        )
        accept(
            role,
            f"AwsSolutions-IAM5[Resource::{shown}]",
            "The private keys of tickets, one for each period of 30 days.",
        )
