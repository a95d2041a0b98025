"""The people of an environment, in its user pool of Amazon Cognito.

Where people are managed at somebody else's issuer there is no pool: then they can be blocked here,
and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from access.messages import PAGE, PeoplePage, PersonView
from access.store import AccessTable, profile_key
from access.tokens import person_id
from lambdas.api.problems import ProblemError

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

#: The most members of a group in one answer (API reference, ListUsersInGroup).
_MOST_MEMBERS: Final = 60
_ELSEWHERE: Final = "People are managed at the issuer that you sign in with."

log = logging.getLogger(__name__)


class People:
    """Invites, lists and blocks people.

    Args:
        issuer: of the access tokens, which is a part of a person's id.
        table: where it is stored who is blocked.
        connect: returns the pool's client; None if people are managed elsewhere. Few processes
            need the client, and it takes time to make.
        pool: the pool's id.
        administrators: the group of administrators.
    """

    def __init__(
        self,
        issuer: str,
        table: AccessTable,
        connect: Callable[[], CognitoIdentityProviderClient] | None,
        pool: str,
        administrators: str,
    ) -> None:
        self._issuer = issuer
        self._table = table
        self._connect = connect
        self._pool = pool
        self._administrators = administrators

    def list_page(self, cursor: str | None) -> PeoplePage:
        """Return a page of people.

        Raises:
            ProblemError: they are managed elsewhere, or the cursor is not one.
        """
        more: dict[str, Any] = {"PaginationToken": cursor} if cursor else {}
        try:
            answer = self._client.list_users(UserPoolId=self._pool, Limit=PAGE, **more)
        except ClientError as error:
            raise _explain(error) from None
        users = answer["Users"]
        ids = {user["Username"]: self._id(user["Attributes"]) for user in users}
        blocked = self._table.read(profile_key(id_) for id_ in ids.values())
        administrators = self._list_administrators(self._client)
        return PeoplePage(
            people=tuple(
                PersonView(
                    subject=ids[user["Username"]],
                    user=user["Username"],
                    email=_attribute(user["Attributes"], "email"),
                    is_administrator=user["Username"] in administrators,
                    is_blocked=profile_key(ids[user["Username"]]) in blocked,
                    has_joined=_has_joined(user),
                )
                for user in users
            ),
            cursor=answer.get("PaginationToken"),
        )

    def invite(self, email: str, *, is_administrator: bool) -> PersonView:
        """Create a person, who gets an e-mail with a first password.

        Raises:
            ProblemError: they are managed elsewhere, or exist; or they are invited and could not
                be made an administrator.
        """
        try:
            answer = self._client.admin_create_user(
                UserPoolId=self._pool,
                Username=email,
                UserAttributes=[
                    {"Name": "email", "Value": email},
                    {"Name": "email_verified", "Value": "true"},
                ],
                DesiredDeliveryMediums=["EMAIL"],
            )
        except ClientError as error:
            raise _explain(error) from None
        user = answer["User"]
        if is_administrator:
            self._add_administrator(user["Username"])
        return PersonView(
            subject=self._id(user["Attributes"]),
            user=user["Username"],
            email=email,
            is_administrator=is_administrator,
        )

    def set_blocked(self, user: str, *, by: str, is_blocked: bool) -> PersonView:
        """Block a person everywhere, or let them in again.

        Args:
            user: the person's name at the issuer; without a pool, the `sub`.
            by: the id of the administrator.
            is_blocked: whether the person is blocked from now on.

        Raises:
            ProblemError: there is no such person, or it is the administrator.
        """
        cognito = self._connect() if self._connect else None
        if cognito is None:
            found = PersonView(subject=person_id(self._issuer, user), user=user)
        else:
            found = self._find(cognito, user)
        if found.subject == by:
            raise ProblemError(
                HTTPStatus.CONFLICT, "is_yourself", "You cannot block yourself; ask another one."
            )
        # First here, where it acts on open sockets; then at the issuer.
        self._table.set_blocked(found.subject, is_blocked=is_blocked)
        if cognito is not None:
            if is_blocked:
                cognito.admin_disable_user(UserPoolId=self._pool, Username=user)
                cognito.admin_user_global_sign_out(UserPoolId=self._pool, Username=user)
            else:
                cognito.admin_enable_user(UserPoolId=self._pool, Username=user)
        return found.model_copy(update={"is_blocked": is_blocked})

    def _add_administrator(self, user: str) -> None:
        try:
            self._client.admin_add_user_to_group(
                UserPoolId=self._pool, Username=user, GroupName=self._administrators
            )
        except (ClientError, BotoCoreError) as error:
            # The mail is sent: another invitation would be refused, as the person exists.
            log.error(  # noqa: TRY400 - an error of AWS may quote a person
                "an invited person is no administrator: %s", type(error).__name__
            )
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "no_administrator",
                "The person is invited, but is no administrator, because the user pool refused "
                f"that. Add the person to the group {self._administrators} at the user pool.",
            ) from None

    def _find(self, cognito: CognitoIdentityProviderClient, user: str) -> PersonView:
        try:
            found = cognito.admin_get_user(UserPoolId=self._pool, Username=user)
        except ClientError as error:
            raise _explain(error) from None
        return PersonView(
            subject=self._id(found["UserAttributes"]),
            user=found["Username"],
            email=_attribute(found["UserAttributes"], "email"),
            is_administrator=found["Username"] in self._list_administrators(cognito),
            has_joined=_has_joined(found),
        )

    def _list_administrators(self, cognito: CognitoIdentityProviderClient) -> set[str]:
        found: set[str] = set()
        more: dict[str, Any] = {}
        while True:
            members = cognito.list_users_in_group(
                UserPoolId=self._pool, GroupName=self._administrators, Limit=_MOST_MEMBERS, **more
            )
            found |= {user["Username"] for user in members["Users"]}
            if not members.get("NextToken"):
                return found
            more = {"NextToken": members["NextToken"]}

    @property
    def _client(self) -> CognitoIdentityProviderClient:
        if self._connect is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "people_elsewhere", _ELSEWHERE)
        return self._connect()

    def _id(self, attributes: Sequence[Mapping[str, Any]]) -> str:
        return person_id(self._issuer, _attribute(attributes, "sub") or "")


def _attribute(attributes: Sequence[Mapping[str, Any]], name: str) -> str | None:
    return next((str(one["Value"]) for one in attributes if one["Name"] == name), None)


def _has_joined(user: Mapping[str, Any]) -> bool:
    return user.get("UserStatus") != "FORCE_CHANGE_PASSWORD"


def _explain(error: ClientError) -> Exception:
    """Return the problem that an error of Cognito means to the caller; else the error itself."""
    problems = {
        "UsernameExistsException": (HTTPStatus.CONFLICT, "exists", "This person exists already."),
        "UserNotFoundException": (HTTPStatus.NOT_FOUND, "not_found", "There is no such person."),
        "InvalidParameterException": (
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            "The user pool refuses this value.",
        ),
    }
    found = problems.get(error.response["Error"]["Code"])
    return ProblemError(*found) if found else error
