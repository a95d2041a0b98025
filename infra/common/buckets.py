"""Buckets: private, encrypted and TLS only."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.common.nag import accept

LOG_DAYS = 90


def make_private_bucket(
    scope: Construct,
    construct_id: str,
    *,
    protected: bool,
    versioned: bool = False,
    lifecycle_rules: Sequence[s3.LifecycleRule] = (),
    access_log: s3.IBucket | None = None,
) -> s3.Bucket:
    """Return a bucket; a `protected` one outlives its stack, and `access_log` takes its log."""
    return s3.Bucket(
        scope,
        construct_id,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        versioned=versioned,
        lifecycle_rules=list(lifecycle_rules) or None,
        removal_policy=RemovalPolicy.RETAIN if protected else RemovalPolicy.DESTROY,
        server_access_logs_bucket=access_log,
    )


def make_log_bucket(scope: Construct, construct_id: str) -> s3.Bucket:
    """Return a bucket for access logs, which expire after 90 days.

    It always outlives its stack: a bucket with content cannot be deleted, and AWS still writes logs
    after everything else is deleted.
    """
    bucket = make_private_bucket(
        scope,
        construct_id,
        protected=True,
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(LOG_DAYS))],
    )
    accept(bucket, "AwsSolutions-S1", "It holds access logs; a log of them would have no end.")
    return bucket
