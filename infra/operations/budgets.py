"""Monthly budgets that notify people of costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from aws_cdk import aws_budgets as budgets
from constructs import Construct

from infra.config.operations import OperationsConfig
from infra.operations.notices import Notices

#: The notifications: kind of cost, and its share of the budget in percent.
STEPS: Final[tuple[tuple[Literal["ACTUAL", "FORECASTED"], int], ...]] = (
    ("ACTUAL", 80),
    ("ACTUAL", 100),
    ("FORECASTED", 100),
)


class Budgets(Construct):
    """Two monthly budgets: for the environment's resources, and for speech.

    The first counts resources with the environment's tag. It counts nothing until `environment` is
    activated as a cost allocation tag in the account (once, in the console of Billing; AWS takes up
    to a day to notice). A stream of Transcribe and a call of Translate are not resources and have
    no tag, so the second counts these services in the whole account, including calls by other
    environments and other programs.

    Each budget has one plain filter, as budgets have had for years. Whether AWS accepts one filter
    with an `Or` of a tag and a service has not been tried. Budgets without actions cost nothing.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        operations: OperationsConfig,
        services: Sequence[str],
        notices: Notices,
        environment_name: str,
    ) -> None:
        """Notify `notices` at 80 % and at 100 %, and if 100 % is forecast.

        Args:
            scope: the parent.
            construct_id: the id in it.
            operations: has the sum of both budgets; without one nothing is made.
            services: the language services that are called, by their names on the bill.
            notices: whom to notify.
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
