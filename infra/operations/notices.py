"""The topic by which people are notified of alarms and budgets."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.common.nag import accept


class Notices(Construct):
    """The topic that alarms and budgets publish to and people subscribe to.

    It is not encrypted with a key. Alarms cannot publish to a topic under AWS's own key, a key of
    our own costs a dollar a month, and a notice holds names and numbers only.

    Attributes:
        topic: the topic.
    """

    def __init__(self, scope: Construct, construct_id: str, *, email: str | None) -> None:
        """Make the topic; `email` first gets a mail in which to confirm the subscription."""
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
                "Serverless-SNSRedrivePolicy",
                "Nobody could process an undelivered mail later; the console still shows "
                "the alarm's state.",
            )

    def _admit(self, service: str, sources: str) -> None:
        """Let a service of AWS publish on behalf of resources of this account."""
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
