"""CloudFront's access log, without queries.

The query of the page's address has the name of a conversation, and whoever knows the name can
listen. CloudFront's older log always has the query. The newer log, used here, has only the fields
that are requested; its delivery exists in us-east-1 only.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Annotations, ArnFormat, Names, Stack, Token
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.common.buckets import make_log_bucket

#: The logged fields of a request: neither query nor referrer nor cookie.
FIELDS: Final = (
    "date",
    "time",
    "x-edge-location",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(User-Agent)",
    "x-edge-result-type",
    "x-edge-request-id",
    "cs-protocol",
    "cs-bytes",
    "time-taken",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-response-result-type",
    "cs-protocol-version",
    "time-to-first-byte",
    "x-edge-detailed-result-type",
    "sc-content-type",
)
REGION: Final = "us-east-1"


class AccessLog(Construct):
    """The access log of a distribution, in a bucket of its own for 90 days.

    The bucket outlives its stack: a bucket with content cannot be deleted, and CloudFront writes
    until an hour after the last request. Its content expires.

    Attributes:
        bucket: the log's bucket.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        distribution: cloudfront.IDistribution,
    ) -> None:
        """Write the log of `distribution`."""
        super().__init__(scope, construct_id)
        region = Stack.of(self).region
        if not Token.is_unresolved(region) and region != REGION:
            Annotations.of(self).add_error(
                f"CloudFront's access log can be had in {REGION} only, not in {region}; "
                "leave live.access_logs out"
            )
        self.bucket = make_log_bucket(self, "Bucket")
        self._deliver(distribution)

    def _deliver(self, distribution: cloudfront.IDistribution) -> None:
        # The parts refer to each other by names, which have to be given and unique.
        name = Names.unique_resource_name(self, max_length=60, separator="-")
        source = logs.CfnDeliverySource(
            self,
            "Source",
            name=name,
            log_type="ACCESS_LOGS",
            resource_arn=Stack.of(self).format_arn(
                service="cloudfront",
                region="",
                resource="distribution",
                resource_name=distribution.distribution_id,
            ),
        )
        destination = logs.CfnDeliveryDestination(
            self,
            "Destination",
            name=name,
            destination_resource_arn=self.bucket.bucket_arn,
            output_format="json",
        )
        delivery = logs.CfnDelivery(
            self,
            "Delivery",
            delivery_source_name=name,
            delivery_destination_arn=destination.attr_arn,
            record_fields=list(FIELDS),
        )
        delivery.add_resource_dependency(source)
        granted = self._let_write(name).policy_dependable
        if granted:
            delivery.node.add_dependency(granted)

    def _let_write(self, source: str) -> iam.AddToResourcePolicyResult:
        stack = Stack.of(self)
        return self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OurAccessLog",
                principals=[iam.ServicePrincipal("delivery.logs.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.bucket.arn_for_objects(f"AWSLogs/{stack.account}/*")],
                conditions={
                    "StringEquals": {
                        "aws:SourceAccount": stack.account,
                        "s3:x-amz-acl": "bucket-owner-full-control",
                    },
                    "ArnLike": {
                        "aws:SourceArn": stack.format_arn(
                            service="logs",
                            resource="delivery-source",
                            resource_name=source,
                            arn_format=ArnFormat.COLON_RESOURCE_NAME,
                        )
                    },
                },
            )
        )
