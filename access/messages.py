"""What `/api/app/v1` takes and returns: JSON, camelCase, refusals as problems (RFC 9457).

    GET    /me                                        Me
    GET    /conversations?cursor                      ConversationPage
    POST   /conversations                             NewConversation -> 201 Conversation
    GET    /conversations/{id}                        Conversation
    PATCH  /conversations/{id}                        ChangedConversation -> Conversation
    PUT    /conversations/{id}/people/{subject}       NewRole -> Conversation
    DELETE /conversations/{id}/people/{subject}       Conversation
    POST   /conversations/{id}/links                  NewLink -> 201 LinkWithSecret
    DELETE /conversations/{id}/links/{link}           Conversation
    POST   /tickets                                   NewTicket -> 201 IssuedTicket
    GET    /keys                                      KeyList
    POST   /keys                                      NewKey -> 201 KeyWithSecret
    DELETE /keys/{id}                                 204
    GET    /people?cursor                             PeoplePage
    POST   /people                                    Invitation -> 201 PersonView
    PATCH  /people/{user}                             ChangedPerson -> PersonView
    GET    /recordings?cursor                         RecordingPage
    POST   /recordings                                NewRecording -> 201 StartedUpload
    GET    /recordings/{id}                           Recording
    DELETE /recordings/{id}                           204
    POST   /recordings/{id}/parts                     WantedParts -> PartAddresses
    POST   /recordings/{id}/complete                  Recording
    GET    /recordings/{id}/transcript?format         TranscriptAddress

A caller proves itself by `Authorization: Bearer`, followed by an access token, an API key
(`csk_...`) or, for tickets alone, a share link's secret (`csl_...`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from access.records import (
    MOST_LANGUAGES,
    ContentType,
    FileName,
    Label,
    RecordingBytes,
    RecordingId,
    Role,
    Scope,
    Subject,
    Title,
)
from transcripts.models import ConversationId, Language, Model, Timestamp

#: The path of the API at the page's address.
ROOT: Final = "/api/app/v1"
#: Where the browser of a person who signs in with a program comes back to. Issuers compare these
#: addresses as texts, so a program cannot take any free port.
PROGRAM_PORTS: Final = (8765, 8766, 8767)
PROGRAM_REDIRECTS: Final = tuple(f"http://127.0.0.1:{port}/callback" for port in PROGRAM_PORTS)
#: The most items in one answer.
PAGE: Final = 50
#: The longest that share links and API keys last, days.
MOST_DAYS: Final = 90
#: How long they last unless the request says it, days.
LINK_DAYS: Final = 30
KEY_DAYS: Final = 90
#: The most API keys of a person.
MOST_KEYS: Final = 20
#: The most recordings in one answer. Each one's state is looked up in the bucket.
RECORDINGS_PAGE: Final = 20
#: The most uploads of a person that are neither completed nor aborted.
MOST_OPEN_UPLOADS: Final = 20
#: The most addresses of parts in one answer, and those that come with a new upload.
MOST_PARTS: Final = 100
FIRST_PARTS: Final = 8

#: What a share link or a person may be given; there is one owner.
SharedRole = Literal["speaker", "reader"]
Days = Annotated[int, Field(ge=1, le=MOST_DAYS)]
Languages = Annotated[
    tuple[Language, ...] | None,
    Field(
        min_length=1,
        max_length=MOST_LANGUAGES,
        description="those of translations; without it, all of them",
    ),
]


class Request(Model):
    """Base of all requests; a misspelt name is an error."""

    model_config = ConfigDict(extra="forbid")


# --- who -------------------------------------------------------------------------------------


class Me(Model):
    """The caller. `key` is the id of the API key in use."""

    subject: Subject
    is_administrator: bool
    key: str | None = None
    scopes: tuple[Scope, ...] | None = None


class PersonView(Model):
    """A person of the environment, as administrators see them. `user` is the name at the issuer."""

    subject: Subject
    user: str
    email: str | None = None
    is_administrator: bool = False
    is_blocked: bool = False
    #: Whether the person has signed in for the first time.
    has_joined: bool = False


class PeoplePage(Model):
    """People; `cursor` continues after them."""

    people: tuple[PersonView, ...]
    cursor: str | None = None


class Invitation(Request):
    """Invites a person, who gets an e-mail with a first password."""

    email: Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^\s@]+@[^\s@]+$")]
    is_administrator: bool = False


class ChangedPerson(Request):
    """Blocks a person, or lets them in again."""

    is_blocked: bool


# --- conversations ---------------------------------------------------------------------------


class NewConversation(Request):
    """Creates a conversation; the caller owns it."""

    title: Title


class ChangedConversation(Request):
    """Renames a conversation of this version."""

    title: Title
    version: Annotated[int, Field(ge=1)]


class NewRole(Request):
    """Gives a person a role."""

    role: SharedRole


class Link(Model):
    """A share link, without its secret."""

    link_id: str
    role: SharedRole
    label: Label
    created_at: Timestamp
    expires_at: Timestamp
    languages: Languages = None


class Conversation(Model):
    """A conversation, as the caller may see it: people and links are for its owner alone."""

    conversation_id: ConversationId
    title: Title
    role: Role
    created_at: Timestamp
    version: int
    people: dict[Subject, Role] | None = None
    links: tuple[Link, ...] | None = None


class ConversationPage(Model):
    """Conversations of the caller, newest first; `cursor` continues after them."""

    conversations: tuple[Conversation, ...]
    cursor: str | None = None


class NewLink(Request):
    """Makes a share link."""

    role: SharedRole = "reader"
    label: Label = "Link"
    days: Days = LINK_DAYS
    languages: Languages = None


class LinkWithSecret(Model):
    """A new share link with its secret, which is shown this once."""

    link: Link
    secret: str


# --- tickets and keys ------------------------------------------------------------------------


class NewTicket(Request):
    """Asks for a ticket. A guest's secret names the link and not the conversation."""

    conversation_id: ConversationId
    action: Literal["read", "speak"]


class IssuedTicket(Model):
    """A ticket, and what the page shows about the conversation."""

    ticket: str
    conversation_id: ConversationId
    title: Title
    role: Role
    action: Literal["read", "speak"]
    expires_at: Timestamp
    #: Seconds until then, for clocks that are wrong.
    seconds_left: int
    languages: Languages = None


class Key(Model):
    """An API key, without its secret."""

    key_id: str
    label: Label
    scopes: tuple[Scope, ...]
    created_at: Timestamp
    expires_at: Timestamp


class KeyList(Model):
    """The caller's API keys."""

    keys: tuple[Key, ...]


class NewKey(Request):
    """Makes an API key."""

    label: Label
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope))]
    days: Days = KEY_DAYS


class KeyWithSecret(Model):
    """A new API key with its secret, which is shown this once."""

    key: Key
    secret: str


# --- recordings ------------------------------------------------------------------------------

#: `waiting`, `transcribed` and `failed` as for every recording; `gone`: neither it nor its
#: transcript is kept any more.
RecordingStateName = Literal["uploading", "aborted", "waiting", "transcribed", "failed", "gone"]
TranscriptKind = Literal["json", "srt", "vtt", "txt"]


class NewRecording(Request):
    """Begins the upload of a recording. `size` is in bytes."""

    title: Title
    file_name: FileName
    size: RecordingBytes
    content_type: ContentType = "application/octet-stream"


class RecordingFailure(Model):
    """Why a recording has no transcript: `code` is for programs, `message` for people."""

    code: str
    message: str


class Recording(Model):
    """A recording of the caller."""

    recording_id: RecordingId
    title: Title
    file_name: FileName
    size: int
    content_type: str
    created_at: Timestamp
    state: RecordingStateName
    failure: RecordingFailure | None = None


class RecordingPage(Model):
    """Recordings of the caller, newest first; `cursor` continues after them."""

    recordings: tuple[Recording, ...]
    cursor: str | None = None


class PartAddress(Model):
    """Where one part is sent by PUT, with exactly `size` bytes and `Content-Length`."""

    number: int
    size: int
    address: str


class PartAddresses(Model):
    """Addresses of parts. They are secrets, and last for `secondsLeft`."""

    parts: tuple[PartAddress, ...]
    seconds_left: int


class StartedUpload(PartAddresses):
    """A new upload: part N begins at byte (N - 1) * `partBytes`. The first addresses come along."""

    recording: Recording
    part_bytes: int
    part_count: int


class WantedParts(Request):
    """Asks for the addresses of parts, by their numbers from 1 on."""

    numbers: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=MOST_PARTS)
    ]


class TranscriptAddress(Model):
    """Where a transcript is downloaded. The address is a secret, and lasts for `secondsLeft`."""

    address: str
    seconds_left: int


# --- refusals --------------------------------------------------------------------------------


class Problem(Model):
    """Why a request was refused (RFC 9457). `type` is `about:blank`; `reason` is for programs."""

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    detail: str
    reason: str


# --- how the page and the client find the way ----------------------------------------------------


class OpenAccess(Model):
    """`/access.json` of an environment in which nobody signs in."""

    kind: Literal["open"] = "open"


class AccountAccess(Model):
    """`/access.json` of an environment with accounts: where to sign in, and as which client.

    The addresses are those of OpenID Connect (RFC 8414); the clients are public ones, with PKCE.
    """

    kind: Literal["accounts"] = "accounts"
    issuer: str
    page_client_id: str
    program_client_id: str
    authorization_endpoint: str
    token_endpoint: str
    #: Ends the session at the issuer, for the page.
    logout_endpoint: str | None = None
    revocation_endpoint: str | None = None
    scopes: tuple[str, ...] = ("openid", "email")
