"""Storage of rights: the table of conversations' records, people, API keys and used tickets."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from access.store import EXPIRY, PARTITION_KEY, SORT_KEY
from infra.common.nag import accept
from infra.common.outputs import add_outputs
from infra.config.data import DataConfig


class AccessStore(Construct):
    """The table of rights.

    Attributes:
        table: the items that `access.store` describes.
        ticket_keys: the prefix of the parameters with the private keys of tickets. The API's
            function makes them, so no template has them.
        smoke_key: the name of the parameter with the smoke check's API key, which a person may
            store for pipelines.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, data: DataConfig, parameters: str
    ) -> None:
        """Make the table; `data` sets protection and backups.

        The names of parameters begin with `parameters`, such as `/cloudscribe/demo`.
        """
        super().__init__(scope, construct_id)
        self.ticket_keys = f"{parameters}/ticket-keys"
        self.smoke_key = f"{parameters}/smoke-key"
        days = data.point_in_time_recovery_days
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=_text(PARTITION_KEY),
            sort_key=_text(SORT_KEY),
            time_to_live_attribute=EXPIRY,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=days > 0,
                recovery_period_in_days=days or None,
            ),
            deletion_protection=data.protected,
            removal_policy=RemovalPolicy.RETAIN if data.protected else RemovalPolicy.DESTROY,
        )
        if not days:
            accept(
                self.table,
                "AwsSolutions-DDB3",
                "This environment chose not to pay for backups; captions have none either.",
            )
        # For `make destroy`, which deletes the parameters, for commands of operators, and for the
        # smoke check.
        add_outputs(
            self,
            AccessTableName=self.table.table_name,
            TicketKeysPrefix=self.ticket_keys,
            SmokeKeyName=self.smoke_key,
        )


def _text(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
