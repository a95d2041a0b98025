"""The routes of the API, on Powertools' event handler, which validates what comes and describes it.

`access.messages` lists the routes. Every refusal is a problem (RFC 9457).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from botocore.exceptions import BotoCoreError, ClientError

from access.messages import (
    ROOT,
    ChangedConversation,
    ChangedPerson,
    Conversation,
    ConversationPage,
    Invitation,
    IssuedTicket,
    KeyList,
    KeyWithSecret,
    LinkWithSecret,
    Me,
    NewConversation,
    NewKey,
    NewLink,
    NewRole,
    NewTicket,
    PeoplePage,
    PersonView,
)
from access.records import Subject
from access.store import Unreadable
from foundation.invalid import explain
from lambdas.api.conversations import Conversations
from lambdas.api.identity import Identification, Identity
from lambdas.api.people import People
from lambdas.api.problems import ProblemError, unavailable
from lambdas.api.recording_routes import add_recordings
from lambdas.api.recordings import Recordings
from transcripts.models import ConversationId

_HEADERS: Final[dict[str, str | list[str]]] = {"Cache-Control": "no-store"}
#: AWS refuses or does not answer, or an item of the table is malformed.
_AWAY: Final = [ClientError, BotoCoreError, Unreadable, TimeoutError]
_CREATED: Final = HTTPStatus.CREATED.value
_NO_CONTENT: Final = HTTPStatus.NO_CONTENT.value

#: Of the people; Cognito makes it.
Cursor = Annotated[str | None, Query(max_length=2_048)]
#: Of the conversations: the time and the id of the last one. A longer one is no key of DynamoDB.
ConversationCursor = Annotated[str | None, Query(max_length=200)]
Id = Annotated[ConversationId, Path()]
PersonId = Annotated[Subject, Path()]
Name = Annotated[str, Path(min_length=1, max_length=255)]

log = logging.getLogger(__name__)


def make_app(
    identification: Identification,
    conversations: Conversations,
    people: People,
    recordings: Recordings,
) -> APIGatewayHttpResolver:
    """Return the application with all routes."""
    app = APIGatewayHttpResolver(enable_validation=True)
    app.use(middlewares=[_forbid_storing])
    _add_conversations(app, identification, conversations)
    _add_sharing(app, identification, conversations)
    _add_keys(app, identification, conversations)
    _add_people(app, identification, conversations, people)
    add_recordings(app, lambda: _caller(app, identification), recordings)
    _add_problems(app)
    return app


def _forbid_storing(
    app: APIGatewayHttpResolver, answer: Callable[[APIGatewayHttpResolver], Response[Any]]
) -> Response[Any]:
    """Let no cache keep an answer."""
    response = answer(app)
    response.headers.update(_HEADERS)
    return response


def _caller(app: APIGatewayHttpResolver, identification: Identification) -> Identity:
    return identification.identify(app.current_event.headers.get("authorization"))


def _add_conversations(
    app: APIGatewayHttpResolver, identification: Identification, conversations: Conversations
) -> None:
    def caller() -> Identity:
        return _caller(app, identification)

    @app.get(f"{ROOT}/me")
    def describe() -> Me:
        return conversations.describe(caller())

    @app.get(f"{ROOT}/conversations")
    def list_conversations(cursor: ConversationCursor = None) -> ConversationPage:
        return conversations.list_page(caller(), cursor)

    @app.post(f"{ROOT}/conversations", status_code=_CREATED)
    def create_conversation(wanted: NewConversation) -> Conversation:
        return conversations.create(caller(), wanted)

    @app.get(f"{ROOT}/conversations/<conversation_id>")
    def get_conversation(conversation_id: Id) -> Conversation:
        return conversations.get(caller(), conversation_id)

    @app.patch(f"{ROOT}/conversations/<conversation_id>")
    def rename_conversation(conversation_id: Id, wanted: ChangedConversation) -> Conversation:
        return conversations.rename(caller(), conversation_id, wanted)


def _add_sharing(
    app: APIGatewayHttpResolver, identification: Identification, conversations: Conversations
) -> None:
    def caller() -> Identity:
        return _caller(app, identification)

    @app.put(f"{ROOT}/conversations/<conversation_id>/people/<subject>")
    def give_role(conversation_id: Id, subject: PersonId, wanted: NewRole) -> Conversation:
        return conversations.give_role(caller(), conversation_id, subject, wanted.role)

    @app.delete(f"{ROOT}/conversations/<conversation_id>/people/<subject>")
    def remove_person(conversation_id: Id, subject: PersonId) -> Conversation:
        return conversations.remove_person(caller(), conversation_id, subject)

    @app.post(f"{ROOT}/conversations/<conversation_id>/links", status_code=_CREATED)
    def share(conversation_id: Id, wanted: NewLink) -> LinkWithSecret:
        return conversations.share(caller(), conversation_id, wanted)

    @app.delete(f"{ROOT}/conversations/<conversation_id>/links/<link_id>")
    def revoke(conversation_id: Id, link_id: Name) -> Conversation:
        return conversations.revoke(caller(), conversation_id, link_id)

    @app.post(f"{ROOT}/tickets", status_code=_CREATED)
    def issue_ticket(wanted: NewTicket) -> IssuedTicket:
        return conversations.issue_ticket(caller(), wanted)


def _add_keys(
    app: APIGatewayHttpResolver, identification: Identification, conversations: Conversations
) -> None:
    def caller() -> Identity:
        return _caller(app, identification)

    @app.get(f"{ROOT}/keys")
    def list_keys() -> KeyList:
        return conversations.list_keys(caller())

    @app.post(f"{ROOT}/keys", status_code=_CREATED)
    def add_key(wanted: NewKey) -> KeyWithSecret:
        return conversations.add_key(caller(), wanted)

    @app.delete(f"{ROOT}/keys/<key_id>", status_code=_NO_CONTENT)
    def remove_key(key_id: Name) -> Response[None]:
        conversations.remove_key(caller(), key_id)
        return Response(_NO_CONTENT)


def _add_people(
    app: APIGatewayHttpResolver,
    identification: Identification,
    conversations: Conversations,
    people: People,
) -> None:
    def administrator() -> str:
        return conversations.require_administrator(_caller(app, identification)).subject

    @app.get(f"{ROOT}/people")
    def list_people(cursor: Cursor = None) -> PeoplePage:
        administrator()
        return people.list_page(cursor)

    @app.post(f"{ROOT}/people", status_code=_CREATED)
    def invite(wanted: Invitation) -> PersonView:
        administrator()
        return people.invite(wanted.email, is_administrator=wanted.is_administrator)

    @app.patch(f"{ROOT}/people/<user>")
    def change_person(user: Name, wanted: ChangedPerson) -> PersonView:
        return people.set_blocked(user, by=administrator(), is_blocked=wanted.is_blocked)


def _add_problems(app: APIGatewayHttpResolver) -> None:
    @app.exception_handler(ProblemError)  # type: ignore[untyped-decorator]  # as Powertools has it
    def refuse(error: ProblemError) -> Response[str]:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)  # type: ignore[untyped-decorator]  # as above
    def invalid(error: RequestValidationError) -> Response[str]:
        words = explain(error.errors(), rename=_field)
        return problem_response(
            ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"{words}.")
        )

    @app.exception_handler(_AWAY)  # type: ignore[untyped-decorator]  # as above
    def away(error: Exception) -> Response[str]:
        # An error of AWS may quote an item or a person: its kind alone is logged.
        log.error("AWS does not answer: %s", type(error).__name__)
        return problem_response(unavailable())

    @app.not_found
    def nothing(error: NotFoundError) -> Response[str]:
        del error
        return problem_response(
            ProblemError(HTTPStatus.NOT_FOUND, "no_route", "There is nothing here.")
        )


def problem_response(error: ProblemError) -> Response[str]:
    """Return the response to a request that is refused."""
    problem = error.problem
    headers = dict(_HEADERS)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        problem.status,
        content_type="application/problem+json",
        body=problem.model_dump_json(by_alias=True),
        headers=headers,
    )


def _field(path: str) -> str:
    """Return the name of a field as the caller knows it: without the part of the request."""
    return path.partition(".")[2] or path
