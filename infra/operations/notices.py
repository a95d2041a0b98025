"""Who is notified when something is wrong, and when money runs away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.common.nag import accept
from infra.config.environment import Operations

#: The share of a budget, percent, at which people are notified, and of what.
STEPS: Final[tuple[tuple[Literal["ACTUAL", "FORECASTED"], int], ...]] = (
    ("ACTUAL", 80),
    ("ACTUAL", 100),
    ("FORECASTED", 100),
)


class Notices(Construct):
    """A topic for alarms and budgets; whoever is to know subscribes to it.

    It is not encrypted with a key: alarms cannot publish to a topic under AWS's own key, one
    of our own costs a dollar a month, and a notice holds names and numbers only.

    Attributes:
        topic: what alarms and budgets publish to.
    """

    def __init__(self, scope: Construct, construct_id: str, *, email: str | None) -> None:
        """Make the topic; `email` gets a mail first, in which it has to agree."""
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True)
        stack = cdk.Stack.of(self)
        alarms = stack.format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name="*",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        self._admit("cloudwatch", alarms)
        self._admit("budgets", f"arn:{stack.partition}:budgets::{stack.account}:*")
        if email:
            mail = self.topic.add_subscription(subscriptions.EmailSubscription(email))
            accept(
                mail,
                {
                    "Serverless-SNSRedrivePolicy": (
                        "A mail that cannot be delivered is no message that somebody could work "
                        "off later: the alarm's state stays to be seen in the console."
                    )
                },
            )

    def _admit(self, service: str, sources: str) -> None:
        """Let a service of AWS publish, for what is in this account only."""
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid=f"{service.capitalize()}Publishes",
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                resources=[self.topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account},
                    "ArnLike": {"aws:SourceArn": sources},
                },
            )
        )


class Budgets(Construct):
    """Two monthly budgets: for what stands in the environment, and for what is said in it.

    The first counts what carries the environment's tag. It counts nothing until `environment` is
    activated as a cost allocation tag in the account (once, in the console of Billing; AWS takes up
    to a day to see it). A stream of Transcribe and a call of Translate are no resources and carry
    no tag, so the second counts these services in the whole account: other environments of the
    account, and whoever else calls them, are in it as well.

    Each is a filter of its own, not one by `Or` of both: that is how budgets have been filtered for
    years, and nobody has tried here whether AWS takes an `Or` of a tag and a service. Budgets
    without actions cost nothing.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        operations: Operations,
        services: Sequence[str],
        notices: Notices,
        environment_name: str,
    ) -> None:
        """Notify `notices` at 80 % and at 100 %, and when 100 % is to be expected.

        Args:
            scope: where they stand.
            construct_id: their name there.
            operations: has the sum of both; nothing is made without one.
            services: those of language that are called, as the bill names them.
            notices: who is notified.
            environment_name: the tag's value.
        """
        super().__init__(scope, construct_id)
        self._topic = notices.topic
        whole = operations.monthly_budget_usd
        if whole is None:
            return
        speech = (operations.speech_budget_usd or whole // 2) if services else 0
        self._make("Budget", whole - speech, TagKeyValue=[f"user:environment${environment_name}"])
        if services:
            self._make("Speech", speech, Service=list(services))

    def _make(self, name: str, dollars: int, **filters: list[str]) -> None:
        budgets.CfnBudget(
            self,
            name,
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=dollars, unit="USD"),
                cost_filters=filters,
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(
                            subscription_type="SNS", address=self._topic.topic_arn
                        )
                    ],
                )
                for kind, percent in STEPS
            ],
        )
