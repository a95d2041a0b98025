"""Buckets as all of ours are: private, encrypted, TLS only."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.common.nag import accept

LOG_DAYS = 90


def private_bucket(
    scope: Construct,
    construct_id: str,
    *,
    protected: bool,
    versioned: bool = False,
    lifecycle_rules: Sequence[s3.LifecycleRule] = (),
    access_log: s3.IBucket | None = None,
) -> s3.Bucket:
    """Return a bucket that outlives its stack if it is `protected`; `access_log` gets its log."""
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


def log_bucket(scope: Construct, construct_id: str) -> s3.Bucket:
    """Return a bucket for access logs, which go after 90 days.

    It always outlives its stack: one that holds something cannot be deleted, and logs still come
    when everything else has gone. Its content expires.
    """
    bucket = private_bucket(
        scope,
        construct_id,
        protected=True,
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(LOG_DAYS))],
    )
    accept(bucket, {"AwsSolutions-S1": "It holds access logs; a log of them would have no end."})
    return bucket
