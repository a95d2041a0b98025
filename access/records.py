"""What is stored about a conversation, an API key and a recording: all that a decision needs.

A record is one item of the table, so a decision reads one item, and each change is one write under
the condition that the version is still the one that was read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from transcripts.models import ConversationId, InWords, Language, Model, Timestamp, printable

#: Bounds of a record; it stays below 40 kB, a tenth of what DynamoDB takes.
MOST_PEOPLE: Final = 100
MOST_LINKS: Final = 50
MOST_LANGUAGES: Final = 10
#: The largest recording, bytes: what the transcription server takes unless it is set otherwise.
MOST_RECORDING_BYTES: Final = 2 * 1024**3

#: A person's id; `access.tokens.person_id` makes it.
Subject = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$"),
    InWords("a person's id: 1 to 64 letters, digits, `_` and `-`"),
]
Title = Annotated[
    str,
    printable(200),
    InWords("a title of 1 to 200 printable characters"),
]
#: A label for people who manage keys and links.
Label = Annotated[
    str,
    printable(64),
    InWords("a label of 1 to 64 printable characters"),
]
#: The name of a file, for people; it is in no key of the bucket.
FileName = Annotated[
    str,
    printable(255),
    InWords("a file's name of 1 to 255 printable characters"),
]
#: A type of media, without parameters. FFmpeg looks at the bytes; this is for whoever downloads.
ContentType = Annotated[
    str,
    StringConstraints(
        pattern=r"^((audio|video)/[a-z0-9][a-z0-9.+-]{0,63}|application/octet-stream)$"
    ),
    InWords("`audio/...`, `video/...` or `application/octet-stream`"),
]
RecordingBytes = Annotated[int, Field(ge=1, le=MOST_RECORDING_BYTES)]
#: `access.secret.make_id` makes it.
RecordingId = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z2-7]{26}$"),
    InWords("a recording's id: 26 letters and digits"),
]


class Role(StrEnum):
    """What somebody is in a conversation."""

    OWNER = "owner"
    SPEAKER = "speaker"
    READER = "reader"


class Scope(StrEnum):
    """What an API key is for; a key has no right that its person lacks."""

    READ = "read"
    SPEAK = "speak"
    MANAGE = "manage"


class ShareLink(Model):
    """A link that lets guests into a conversation.

    `role` is never owner. Without `languages`, guests may read all translations. `secret_hash` is
    the SHA-256 of the secret, in hex. `made_by` is the id of the API key that made it, if one did.
    """

    role: Role
    label: Label
    secret_hash: str
    created_at: Timestamp
    expires_at: Timestamp
    languages: Annotated[tuple[Language, ...] | None, Field(max_length=MOST_LANGUAGES)] = None
    made_by: str | None = None


class ConversationRecord(Model):
    """The truth about a conversation: owner, people with their roles, share links by id.

    Links that were revoked are not in it.
    """

    conversation_id: ConversationId
    title: Title
    owner: Subject
    created_at: Timestamp
    people: Annotated[dict[Subject, Role], Field(default_factory=dict, max_length=MOST_PEOPLE)]
    links: Annotated[dict[str, ShareLink], Field(default_factory=dict, max_length=MOST_LINKS)]
    #: Grows with each change.
    version: Annotated[int, Field(ge=1)] = 1

    def role_of(self, subject: str) -> Role | None:
        """Return a person's role; None without one."""
        return Role.OWNER if subject == self.owner else self.people.get(subject)


class ApiKey(Model):
    """An API key of a person. `secret_hash` is the SHA-256 of its secret, in hex."""

    key_id: str
    subject: Subject
    label: Label
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    secret_hash: str
    created_at: Timestamp
    expires_at: Timestamp


class UploadState(StrEnum):
    """How far an upload is. The bucket has the rest of a recording's state."""

    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    ABORTED = "aborted"


class RecordingRecord(Model):
    """A recording of a person. `upload_id` is the id of the multipart upload at S3."""

    recording_id: RecordingId
    owner: Subject
    title: Title
    file_name: FileName
    size: RecordingBytes
    content_type: ContentType
    created_at: Timestamp
    upload_id: Annotated[str, StringConstraints(min_length=1, max_length=1_024)]
    upload: UploadState = UploadState.UPLOADING
    #: Grows with each change.
    version: Annotated[int, Field(ge=1)] = 1
