"""`make user ENV=demo EMAIL=ada@example.org`: invite a person into an environment's user pool.

The person gets an e-mail with a first password. Repeating a call is safe: a person who has joined
is left alone, and an invitation is sent again, with a new password, only when the first password
is over. `--resend` sends it again at once; the password that was mailed before is then invalid.
With `--administrator` the person gets into the group of administrators, also later.

Exit codes: 0 the person can sign in or was invited, 1 not, 2 wrong call, 7 the output cannot be
written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from access.messages import Invitation
from foundation import program
from infra.commands.places import NoAccounts, find_place

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

#: The pool's group of administrators, and how long a first password is valid, days; see
#: `infra.config.access`.
ADMINISTRATORS: Final = "admins"
INVITATION_DAYS: Final = 7
#: The status of a person who has not replaced the first password yet.
_INVITED: Final = "FORCE_CHANGE_PASSWORD"
#: The most pools that Cognito lists in one call.
_MOST_POOLS: Final = 60


class NotInvited(Exception):
    """The person cannot be invited; the message says why."""


class State(StrEnum):
    """What a person's account is after a call."""

    INVITED = "invited"
    RESENT = "resent"
    WAITING = "waiting"
    JOINED = "joined"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitee:
    """The account of a person who was to be invited.

    Attributes:
        email: the address.
        state: what the account is now.
        is_administrator: whether the person is in the group of administrators.
        valid_until: the end of the first password; None once the person has a password.
    """

    email: str
    state: State
    is_administrator: bool
    valid_until: datetime | None = None

    def describe(self) -> str:
        """Return sentences for people."""
        until = f"{self.valid_until:%Y-%m-%d %H:%M} UTC" if self.valid_until else ""
        what = {
            State.INVITED: f"was invited; the first password is valid until {until}.",
            State.RESENT: f"got another invitation; the first password is valid until {until}.",
            State.WAITING: f"is invited already; the first password is valid until {until}. "
            "RESEND=1 sends another one.",
            State.JOINED: "is there already, and has a password.",
            State.BLOCKED: "is there already, but is blocked: an administrator can unblock this "
            "person (python -m client people unblock).",
        }[self.state]
        administrator = " This person is an administrator." if self.is_administrator else ""
        return f"{self.email} {what}{administrator}"

    def fields(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "email": self.email,
            "state": str(self.state),
            "isAdministrator": self.is_administrator,
            "validUntil": self.valid_until.isoformat() if self.valid_until else None,
        }


def find_pool(session: boto3.Session, environment: str, name: str | None) -> str:
    """Return the id of an environment's user pool, which `name` names where no stack does.

    Raises:
        NoAccounts: there is no such environment, or it has no accounts.
        NotInvited: it has no user pool.
        ClientError: AWS refused.
    """
    if name:
        return _find_named(session.client("cognito-idp"), name)
    pool = find_place(session.client("cloudformation"), environment).pool
    if pool is None:
        raise NotInvited(f"{environment} has no user pool: people are managed at its issuer.")
    return pool


def _find_named(cognito: CognitoIdentityProviderClient, name: str) -> str:
    pages = cognito.get_paginator("list_user_pools").paginate(
        PaginationConfig={"PageSize": _MOST_POOLS}
    )
    for pool in (each for page in pages for each in page["UserPools"]):
        if pool.get("Name") == name:
            return pool["Id"]
    raise NotInvited(
        f"There is no user pool {name}: start the demo with ACCESS=accounts make demo."
    )


def invite(
    cognito: CognitoIdentityProviderClient,
    pool: str,
    wanted: Invitation,
    *,
    now: datetime,
    resend: bool = False,
) -> Invitee:
    """Invite a person unless there is no need to.

    Args:
        cognito: the pool's client.
        pool: its id.
        wanted: the person, and whether as an administrator.
        now: the time, with its zone.
        resend: send an invitation again although its password is still valid.

    Raises:
        ClientError: AWS refused.
    """
    state, valid_until = State.INVITED, now + timedelta(days=INVITATION_DAYS)
    try:
        _send(
            cognito,
            pool,
            wanted.email,
            UserAttributes=[
                {"Name": "email", "Value": wanted.email},
                {"Name": "email_verified", "Value": "true"},
            ],
        )
    except cognito.exceptions.UsernameExistsException:
        found = cognito.admin_get_user(UserPoolId=pool, Username=wanted.email)
        until = found["UserLastModifiedDate"] + timedelta(days=INVITATION_DAYS)
        if not found.get("Enabled", True):
            state = State.BLOCKED
        elif found.get("UserStatus") != _INVITED:
            state = State.JOINED
        elif resend or until <= now:
            _send(cognito, pool, wanted.email, MessageAction="RESEND")
            state = State.RESENT
        else:
            state, valid_until = State.WAITING, until
    is_promoted = wanted.is_administrator and state is not State.BLOCKED
    if is_promoted:
        cognito.admin_add_user_to_group(
            UserPoolId=pool, Username=wanted.email, GroupName=ADMINISTRATORS
        )
    has_password = state in {State.JOINED, State.BLOCKED}
    return Invitee(
        email=wanted.email,
        state=state,
        is_administrator=is_promoted or _is_administrator(cognito, pool, wanted.email),
        valid_until=None if has_password else valid_until,
    )


def _send(cognito: CognitoIdentityProviderClient, pool: str, email: str, **more: Any) -> None:
    cognito.admin_create_user(
        UserPoolId=pool, Username=email, DesiredDeliveryMediums=["EMAIL"], **more
    )


def _is_administrator(cognito: CognitoIdentityProviderClient, pool: str, email: str) -> bool:
    groups = cognito.admin_list_groups_for_user(UserPoolId=pool, Username=email)["Groups"]
    return any(group.get("GroupName") == ADMINISTRATORS for group in groups)


def main(arguments: Sequence[str] | None = None) -> int:
    """Invite a person; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.commands.invite",
        description="Invites a person into an environment's user pool.",
    )
    parser.add_argument("environment", help="e.g. demo")
    parser.add_argument("email", help="the person's e-mail address")
    parser.add_argument("--administrator", action="store_true", help="who invites and blocks")
    parser.add_argument(
        "--resend", action="store_true", help="send the invitation again before it is over"
    )
    parser.add_argument("--pool-name", help="the user pool's name, where no stack names its id")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    chosen = parser.parse_args(arguments)
    try:
        wanted = Invitation(email=chosen.email, is_administrator=chosen.administrator)
    except ValidationError:
        parser.error(f"EMAIL: {chosen.email!r} is not an e-mail address")
    try:
        # botocore ignores AWS_REGION, which AWS's other tools read.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        pool = find_pool(session, chosen.environment, chosen.pool_name)
        invitee = invite(
            session.client("cognito-idp"),
            pool,
            wanted,
            now=datetime.now(UTC),
            resend=chosen.resend,
        )
    except (NotInvited, NoAccounts, BotoCoreError, ClientError) as error:
        program.note(str(error))
        return 1
    program.show(json.dumps(invitee.fields(), indent=2) if chosen.json else invitee.describe())
    return 1 if invitee.state is State.BLOCKED else 0


if __name__ == "__main__":
    program.end(main)
