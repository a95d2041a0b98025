"""Two people who can sign in to the demo. Their passwords are generated once for each data folder.

They are fixed neither here nor in the documentation, so no demo that somebody exposes by mistake
has a password that everybody knows.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from foundation.json_files import read_object
from local_cloud.accounts.pool import ADMINISTRATORS, UserPool

NAME: Final = "people.json"
#: E-mail addresses, and whether somebody is an administrator.
PEOPLE: Final = {"ada@example.com": True, "sam@example.com": False}
#: Characters that nobody confuses: 31 of them, so 16 have 79 bits.
_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_GROUPS: Final = 4
_GROUP: Final = 4


@dataclass(frozen=True, slots=True)
class SeededPerson:
    """Somebody who can sign in."""

    email: str
    password: str
    is_administrator: bool


def set_up_people(cognito: Any, pool: UserPool, file: Path) -> tuple[SeededPerson, ...]:
    """Return the people, who are made unless they are there; `file` keeps their passwords.

    Somebody who was blocked or left the group of administrators stays so.

    Raises:
        WrongFile: the file was spoiled.
        OSError: the file cannot be written.
    """
    stored = read_object(file)
    passwords = {
        email: str(stored[email]) if email in stored else make_password() for email in PEOPLE
    }
    if passwords != stored:
        _write(file, passwords)
    for email, is_administrator in PEOPLE.items():
        is_new = _create(cognito, pool, email, is_administrator=is_administrator)
        if is_new or email not in stored:
            cognito.admin_set_user_password(
                UserPoolId=pool.pool_id,
                Username=email,
                Password=passwords[email],
                Permanent=True,
            )
    return tuple(
        SeededPerson(email, passwords[email], is_administrator)
        for email, is_administrator in PEOPLE.items()
    )


def make_password() -> str:
    """Return a new password that is easy to type: `abcd-efgh-jkmn-pqrs`."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def _create(cognito: Any, pool: UserPool, email: str, *, is_administrator: bool) -> bool:
    """Create somebody in the pool; return whether they are new."""
    try:
        cognito.admin_create_user(
            UserPoolId=pool.pool_id,
            Username=email,
            UserAttributes=[
                {"Name": "email", "Value": email},
                {"Name": "email_verified", "Value": "true"},
            ],
            MessageAction="SUPPRESS",
        )
    except cognito.exceptions.UsernameExistsException:
        return False
    if is_administrator:
        cognito.admin_add_user_to_group(
            UserPoolId=pool.pool_id, Username=email, GroupName=ADMINISTRATORS
        )
    return True


def _write(file: Path, passwords: dict[str, str]) -> None:
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(passwords, indent=2) + "\n")
    fresh.replace(file)
