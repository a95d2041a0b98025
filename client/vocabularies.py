"""Create, look up and delete vocabularies and vocabulary filters of Amazon Transcribe.

`client.aws` connects to AWS. Names, languages and entries are validated before anything is sent, by
`speech.vocabularies` and by the service model of the SDK.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError
from botocore.exceptions import ClientError as AwsError

from client import aws
from client.aws import AwsResource
from client.errors import AccessRefused, ClientError, NoSuchVocabulary, UsageError
from speech.vocabularies import (
    MAX_BYTES,
    Entries,
    WrongEntries,
    parse_filter,
    parse_vocabulary,
    violations,
)

#: As the name of a vocabulary in messages about all of them.
ALL: Final = "of this account"
#: The prefix in the bucket for tables that Amazon reads.
TABLE_KEY: Final = "vocabularies/{name}.txt"
#: How long to wait until a vocabulary is ready, seconds. Amazon takes minutes, not hours.
PATIENCE_SECONDS: Final = 900.0
#: Between two looks, seconds: at first, and at most.
_FIRST_LOOK, _LAST_LOOK = 0.5, 10.0

_NOT_HERE: Final = (
    "What AWS_ENDPOINT_URL leads to has no vocabularies ({reason}). The demo on this machine has "
    "them where it was started with ENGINE=transcribe; source .local/aws.env again after that"
)
_REFUSALS: Final = {
    "InvalidAction": _NOT_HERE,
    "UnknownOperationException": _NOT_HERE,
    "BadRequestException": "Amazon Transcribe refuses the {resource}: {message}",
    "ConflictException": "The {resource} is being changed by somebody else; try again: {message}",
    "LimitExceededException": (
        "Amazon Transcribe has no room for the {resource}: {message} Delete one that is not "
        "needed, or wait a moment where there were too many calls."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyKind:
    """Vocabularies or filters, by their names in messages and in the API."""

    noun: Literal["vocabulary", "vocabulary filter"]
    #: As in `CreateVocabulary`, and in the names of members.
    member: str
    plural: str
    #: The member that holds the entries.
    entries: str
    #: The option that selects this kind on the command line, after a space; empty for vocabularies.
    option: str
    #: A hint for a name that is not found, as a sentence.
    hint: str
    parse: Callable[[bytes], Entries]

    def resource(self, name: str) -> AwsResource:
        """Return one vocabulary or filter as an `AwsResource` for error messages."""
        verbs = ("Get", "Create", "Update", "Delete")
        rights = ", ".join(f"transcribe:{verb}{self.member}" for verb in verbs)
        list_right = f"transcribe:List{self.plural}"
        return AwsResource(
            self.noun, name, "AWS_ENDPOINT_URL", f"Needed are {rights} and {list_right}."
        )


VOCABULARY: Final = VocabularyKind(
    noun="vocabulary",
    member="Vocabulary",
    plural="Vocabularies",
    entries="Phrases",
    option="",
    hint="Vocabulary filters are named with --filter.",
    parse=parse_vocabulary,
)
FILTER: Final = VocabularyKind(
    noun="vocabulary filter",
    member="VocabularyFilter",
    plural="VocabularyFilters",
    entries="Words",
    option=" --filter",
    hint="Vocabularies are named without --filter.",
    parse=parse_filter,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVocabulary:
    """One vocabulary or filter as Amazon describes it."""

    kind: VocabularyKind
    name: str
    language: str
    modified: datetime | None
    #: PENDING, READY or FAILED; a filter is always READY.
    state: str
    reason: str | None = None

    @classmethod
    def of(cls, kind: VocabularyKind, answer: dict[str, Any]) -> StoredVocabulary:
        """Parse an answer of AWS."""
        return cls(
            kind=kind,
            name=answer[f"{kind.member}Name"],
            language=answer.get("LanguageCode", ""),
            modified=answer.get("LastModifiedTime"),
            state=answer.get("VocabularyState", "READY"),
            reason=answer.get("FailureReason"),
        )

    def line(self) -> str:
        """Return a line of text about it."""
        when = "" if self.modified is None else f", of {self.modified:%Y-%m-%d %H:%M}"
        why = f": {self.reason}" if self.reason else ""
        return f"{self.name}: {self.state}, {self.language}{when}{why}"

    def fields(self) -> dict[str, Any]:
        """Return the fields of a JSON object about it."""
        return {
            "name": self.name,
            "filter": self.kind is FILTER,
            "language": self.language,
            "state": self.state,
            "modified": self.modified.isoformat() if self.modified else None,
        } | ({"reason": self.reason} if self.reason else {})


def read(kind: VocabularyKind, file: Path) -> tuple[Entries, bytes]:
    """Return the entries of a file, and its content.

    Raises:
        UsageError: it cannot be read, or Amazon would not take it.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        return kind.parse(content), content
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except WrongEntries as error:
        raise UsageError(f"{file}: {error}. Nothing was sent.") from error


class Vocabularies:
    """The vocabularies and filters of an account in a region; its methods raise `ClientError`."""

    def __init__(self, client: Any) -> None:
        """Use a client of botocore for `transcribe`."""
        self._client = client

    def get(self, kind: VocabularyKind, name: str) -> StoredVocabulary:
        """Return a vocabulary or filter.

        Raises:
            NoSuchVocabulary: there is none.
        """
        return StoredVocabulary.of(kind, self._call("Get", kind, name, {}))

    def find(self, kind: VocabularyKind, name: str) -> StoredVocabulary | None:
        """Return a vocabulary or filter; None if there is none."""
        try:
            return self.get(kind, name)
        except NoSuchVocabulary:
            return None

    def put(
        self,
        kind: VocabularyKind,
        name: str,
        language: str | None,
        entries: Entries,
        upload: Callable[[], str],
    ) -> tuple[StoredVocabulary, bool]:
        """Create a vocabulary or filter, or replace its entries; return it, and whether it is new.

        Args:
            kind: vocabulary or filter.
            name: its name.
            language: None keeps the language that it has.
            entries: the new entries.
            upload: puts a table into S3 and returns its address; called for a table only.

        Raises:
            UsageError: the service would refuse it, a new one has no language, or an existing one
                has another language.
        """
        found = self.find(kind, name)
        language = self._language(kind, language) or (found.language if found else None)
        if language is None:
            raise UsageError(f"{name} is a new {kind.noun}: give its --language, such as en-US.")
        if found is not None and language != found.language:
            raise UsageError(
                f"The {kind.noun} {name} is there in {found.language}, and keeps its language: "
                f"leave --language out, or delete it first (`vocabulary delete {name}"
                f"{kind.option}`)."
            )
        # A filter's language is part of its creation only.
        asked: dict[str, Any] = (
            {"LanguageCode": language} if kind is VOCABULARY or not found else {}
        )
        if entries.is_table:
            asked["VocabularyFileUri"] = upload()
        else:
            asked[kind.entries] = list(entries.phrases)
        answer = self._call("Update" if found else "Create", kind, name, asked)
        return StoredVocabulary.of(kind, {"LanguageCode": language} | answer), found is None

    def delete(self, kind: VocabularyKind, name: str) -> None:
        """Delete a vocabulary or filter.

        Raises:
            NoSuchVocabulary: there is none.
        """
        self._call("Delete", kind, name, {})

    def all(self, kind: VocabularyKind) -> Iterator[StoredVocabulary]:
        """Yield all vocabularies or filters, the newest first."""
        asked: dict[str, Any] = {"MaxResults": 100}
        call = getattr(self._client, f"list_{_snake(kind.plural)}")
        while True:
            with explained(kind.resource(ALL), kind):
                answer = call(**asked)
            for each in answer.get(kind.plural, ()):
                yield StoredVocabulary.of(kind, each)
            token = answer.get("NextToken")
            if not token or token == asked.get("NextToken"):
                return
            asked["NextToken"] = token

    def poll(
        self, name: str, *, sleep: Callable[[float], object] = time.sleep
    ) -> Iterator[tuple[StoredVocabulary, float]]:
        """Yield a vocabulary and the seconds waited, until it is not PENDING or patience ends."""
        waited, pause = 0.0, _FIRST_LOOK
        while True:
            found = self.get(VOCABULARY, name)
            yield found, waited
            if found.state != "PENDING" or waited >= PATIENCE_SECONDS:
                return
            sleep(pause)
            waited += pause
            pause = min(2 * pause, _LAST_LOOK)

    def _language(self, kind: VocabularyKind, language: str | None) -> str | None:
        """Return a language as Amazon writes it.

        Raises:
            UsageError: Amazon has no such language.
        """
        if language is None:
            return None
        shape = self._shape(f"Create{kind.member}").members["LanguageCode"]
        known = {each.casefold(): each for each in shape.enum}
        found: str | None = known.get(language.casefold())
        if found is None:
            raise UsageError(
                f"{language} is no language of Amazon Transcribe. There are: "
                f"{', '.join(sorted(shape.enum))}"
            )
        return found

    def _shape(self, operation: str) -> Any:
        return self._client.meta.service_model.operation_model(operation).input_shape

    def _call(
        self, verb: str, kind: VocabularyKind, name: str, asked: dict[str, Any]
    ) -> dict[str, Any]:
        parameters = {f"{kind.member}Name": name} | asked
        for violation in violations(self._shape(f"{verb}{kind.member}"), parameters):
            raise UsageError(f"Amazon Transcribe would refuse this. {violation}")
        call = getattr(self._client, f"{verb.lower()}_{_snake(kind.member)}")
        with explained(kind.resource(name), kind):
            answer: dict[str, Any] = call(**parameters)
        return answer


@contextlib.contextmanager
def explained(resource: AwsResource, kind: VocabularyKind) -> Iterator[None]:
    """Convert errors of Amazon Transcribe to errors of the client.

    Raises:
        NoSuchVocabulary, UsageError, AccessRefused, NoStorage: see `client.errors`.
    """
    try:
        yield
    except (BotoCoreError, AwsError) as error:
        raise _explanation(error, resource, kind) from error


def _explanation(
    error: BotoCoreError | AwsError, resource: AwsResource, kind: VocabularyKind
) -> ClientError:
    if not isinstance(error, AwsError):
        return aws.explanation(error, resource)
    refusal = error.response.get("Error", {})
    code = refusal.get("Code", "")
    message = " ".join(str(refusal.get("Message", code)).split())
    if _is_missing(error.operation_name, code, message):
        return NoSuchVocabulary(
            f"There is no {resource} in this account and region. `vocabulary list{kind.option}` "
            f"shows which there are. {kind.hint}"
        )
    if code in _REFUSALS:
        words = {"resource": resource, "reason": f"{code}, {error.operation_name}"}
        return AccessRefused(_REFUSALS[code].format(message=message, **words))
    return aws.explanation(error, resource)


def _is_missing(operation: str, code: str, message: str) -> bool:
    """Whether there is nothing of the name.

    Amazon's model has NotFoundException for that, but what Amazon answers is BadRequestException,
    by what Terraform's provider for AWS relies on. Deleting one that is PENDING is the same error.
    """
    if code == "BadRequestException":
        return operation.startswith("Get") or "be found" in message
    return code == "NotFoundException"


def _snake(name: str) -> str:
    """Return a name of the API as botocore's methods have it."""
    return name.replace("VocabularyF", "vocabulary_f").lower()
