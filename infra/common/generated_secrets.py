"""Secrets that Secrets Manager generates ($0.40 a month) and CloudFormation resolves."""

from __future__ import annotations

from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.common.nag import accept

#: Characters without punctuation: `*` and `?` would be wildcards in a listener's rule, which also
#: ignores case. Some 248 bits.
LENGTH: Final = 48


def make_secret(
    scope: Construct, *, field: str, description: str, why_not_rotated: str
) -> secretsmanager.Secret:
    """Return a secret with a generated value in `field`; another name makes another value."""
    secret = secretsmanager.Secret(
        scope,
        "Secret",
        description=description,
        generate_secret_string=secretsmanager.SecretStringGenerator(
            secret_string_template="{}",  # noqa: S106 - an empty object
            generate_string_key=field,
            exclude_punctuation=True,
            password_length=LENGTH,
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )
    accept(secret, "AwsSolutions-SMG4", why_not_rotated)
    return secret


def refer_to_field(secret: secretsmanager.ISecret, field: str) -> str:
    """Return a reference that CloudFormation resolves; the value itself is unknown here."""
    return secret.secret_value_from_json(field).unsafe_unwrap()
