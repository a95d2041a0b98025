"""`make adopt ENV=demo CONVERSATION=... OWNER=...`: give an existing conversation an owner.

Conversations of an environment that was open before have no record, so nobody has a right to them.
This command writes the record; the owner then lists, shares and renames the conversation. It keeps
its id. Whether there are captions of it is not checked.

OWNER is the e-mail address of a person in the environment's user pool, or a person's id, as
`python -m client whoami` prints it. A conversation that has an owner keeps it; repeating a call
changes nothing.

Exit codes: 0 the conversation belongs to the owner, 1 it does not, 2 wrong call, 7 the output
cannot be written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from access.records import ConversationRecord
from access.store import AccessTable, Unreadable
from access.tokens import person_id
from foundation import program
from foundation.invalid import explain
from infra.commands.places import NoAccounts, Place, find_place

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

#: What `access.tokens.person_id` makes.
_PERSON: Final = re.compile(r"[a-z2-7]{26}")
#: An address that can be quoted in a filter of Cognito.
_EMAIL: Final = re.compile(r'[^\s@"\\]+@[^\s@"\\]+')


class NotAdopted(Exception):
    """The conversation cannot be given to this owner; the message says why."""


def find_person(cognito: CognitoIdentityProviderClient, pool: str | None, email: str) -> str:
    """Return the id of the person with an e-mail address.

    Raises:
        NotAdopted: there is no pool, or it has no such person, or several.
        ClientError: AWS refused.
    """
    if pool is None:
        raise NotAdopted("Here people are known by their ids only; give OWNER as one.")
    answer = cognito.list_users(UserPoolId=pool, Filter=f'email = "{email}"', Limit=2)
    subjects = [
        attribute["Value"]
        for user in answer["Users"]
        for attribute in user["Attributes"]
        if attribute["Name"] == "sub"
    ]
    if len(subjects) != 1:
        count = "Nobody has" if not subjects else "Several people have"
        raise NotAdopted(f"{count} this e-mail address in the user pool {pool}.")
    issuer = f"https://cognito-idp.{cognito.meta.region_name}.amazonaws.com/{pool}"
    return person_id(issuer, subjects[0])


def adopt(table: AccessTable, record: ConversationRecord) -> bool:
    """Store the record of an existing conversation; return False if its owner had it already.

    Raises:
        NotAdopted: the conversation has another owner.
        ClientError: AWS refused.
        Unreadable: what is stored about the conversation is malformed.
    """
    if table.create(record):
        return True
    owners = {found.owner for found in table.read_records([record.conversation_id])}
    if owners != {record.owner}:
        raise NotAdopted(f"{record.conversation_id} has another owner; nothing was changed.")
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Give a conversation an owner; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.commands.adopt",
        description="Gives a conversation that exists already an owner.",
    )
    parser.add_argument("environment", help="e.g. demo")
    parser.add_argument("conversation", help="its id")
    parser.add_argument("owner", help="a person's e-mail address or id")
    parser.add_argument("--title", help="default: the conversation's id")
    parser.add_argument("--table", help="the table of rights, where no stack names it")
    chosen = parser.parse_args(arguments)
    is_email = _EMAIL.fullmatch(chosen.owner) is not None
    if not is_email and not _PERSON.fullmatch(chosen.owner):
        parser.error("OWNER is neither an e-mail address nor the id of a person (26 characters)")
    try:
        record = ConversationRecord(
            conversation_id=chosen.conversation,
            title=chosen.title or chosen.conversation,
            owner="unknown" if is_email else chosen.owner,
            created_at=datetime.now(UTC),
        )
    except ValidationError as error:
        parser.error(explain(error))
    try:
        # botocore ignores AWS_REGION, which AWS's other tools read.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        if chosen.table:
            place = Place(chosen.table, None)
        else:
            place = find_place(session.client("cloudformation"), chosen.environment)
        if is_email:
            owner = find_person(session.client("cognito-idp"), place.pool, chosen.owner)
            record = record.model_copy(update={"owner": owner})
        is_new = adopt(AccessTable(place.table, session.client("dynamodb")), record)
    except (NotAdopted, NoAccounts, Unreadable, BotoCoreError, ClientError) as error:
        program.note(str(error))
        return 1
    already = "" if is_new else " already"
    program.show(f"{record.conversation_id} belongs to {chosen.owner}{already}.")
    return 0


if __name__ == "__main__":
    program.end(main)
