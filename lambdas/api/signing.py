"""Signs tickets. docs/access.md, "Signing keys", has the reasons.

Time is divided into periods, which have numbers. A period's private key is a SecureString parameter
that is created once. Whoever loads it publishes its public part before the first signature.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from access.secret import make_id
from access.store import AccessTable
from access.tickets import LEEWAY, READING_AS_GUEST, SigningKey, Ticket, sign_ticket

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

PERIOD: Final = timedelta(days=30)
#: A public key is published until the last ticket of its period is over.
_KEPT: Final = READING_AS_GUEST + 2 * LEEWAY
#: How often and at what interval a parameter is read that exists and is not to be seen yet.
_READS: Final = 10
_PAUSE: Final = 0.2


class TicketSigner:
    """Signs with the key of the current period.

    Args:
        ssm: the client of the Systems Manager.
        prefix: of the parameters' names, without the slash at its end.
        table: where public keys are published.
        now: returns the current time.
    """

    def __init__(
        self, ssm: SSMClient, prefix: str, table: AccessTable, now: Callable[[], datetime]
    ) -> None:
        self._ssm = ssm
        self._prefix = prefix
        self._table = table
        self._now = now
        self._keys: dict[int, SigningKey] = {}  # of the newest period that was asked for

    def sign(self, ticket: Ticket) -> str:
        """Return the ticket as a JWT.

        Raises:
            ClientError, BotoCoreError: AWS refuses or cannot be reached.
        """
        period = int(self._now().timestamp() // PERIOD.total_seconds())
        if period not in self._keys:
            self._keys = {period: self._load(period)}
        return sign_ticket(ticket, self._keys[period])

    def _load(self, period: int) -> SigningKey:
        key = self._read(period) or self._create(period)
        end = datetime.fromtimestamp((period + 1) * PERIOD.total_seconds(), UTC)
        self._table.publish_key(key.id, key.key.public_key(), end + _KEPT)
        return key

    def _read(self, period: int) -> SigningKey | None:
        try:
            answer = self._ssm.get_parameter(Name=self._name(period), WithDecryption=True)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        found = json.loads(answer["Parameter"]["Value"])
        return SigningKey(
            found["id"], Ed25519PrivateKey.from_private_bytes(b64decode(found["key"]))
        )

    def _create(self, period: int) -> SigningKey:
        key = SigningKey(make_id(), Ed25519PrivateKey.generate())
        private = b64encode(key.key.private_bytes_raw()).decode()
        try:
            self._ssm.put_parameter(
                Name=self._name(period),
                Value=json.dumps({"id": key.id, "key": private}),
                Type="SecureString",
                Overwrite=False,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterAlreadyExists":
                raise
            return self._read_another(period)
        self._forget(period - 2)
        return key

    def _read_another(self, period: int) -> SigningKey:
        """Return the key that another invocation has just created."""
        for _ in range(_READS):
            key = self._read(period)
            if key is not None:
                return key
            time.sleep(_PAUSE)
        raise TimeoutError("the key for tickets exists and cannot be read")

    def _forget(self, period: int) -> None:
        """Delete the key of a period whose tickets are over."""
        try:
            self._ssm.delete_parameter(Name=self._name(period))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterNotFound":
                raise

    def _name(self, period: int) -> str:
        return f"{self._prefix}/{period}"
