"""The secret by which an origin recognises that a request comes from our CloudFront distribution.

Each origin has one of its own. Origins that only VPC origins of this account can reach need none.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.common.generated_secrets import make_secret, refer_to_field

#: The header with the value; CloudFront replaces what a viewer sends in it.
SECRET_HEADER: Final = "X-Cloudscribe-Edge"  # noqa: S105 - the header's name, not its value
#: The field of the secret that holds the value. Another name makes another value.
SECRET_FIELD: Final = "value1"  # noqa: S105 - the field's name, not its value


def make_edge_secret(scope: Construct) -> secretsmanager.Secret:
    """Return a new secret that only CloudFront sends; see `infra.live.shared_entrance`."""
    return make_secret(
        scope,
        field=SECRET_FIELD,
        description=f"The header {SECRET_HEADER}, by which CloudFront is known",
        why_not_rotated="The value has to change in CloudFront and where it is asked for at once, "
        "which a rotation cannot do; a deployment does it.",
    )


def refer_to_value(secret: secretsmanager.ISecret) -> str:
    """Return a reference to the secret's value, which CloudFormation resolves."""
    return refer_to_field(secret, SECRET_FIELD)
