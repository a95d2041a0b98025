"""Turn the URL of a service into the URLs of its endpoints, and options into parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pydantic import ValidationError
from yarl import URL

from client.errors import UsageError
from foundation.invalid import explain
from transcripts.protocol import ConnectParameters, TranscribeParameters

#: The environment variable that names the service.
URL_VARIABLE = "CLOUDSCRIBE_URL"
#: The URL of `make demo`.
DEFAULT_URL = "http://127.0.0.1:8080"

#: Parameters that have another name in the commands than in the protocol.
_NAMES = {"conversation_id": "conversation", "options": "option"}

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def live_url(base: str, parameters: TranscribeParameters | ConnectParameters) -> URL:
    """Return the URL on which a speaker or a viewer connects.

    Raises:
        UsageError: `base` is not a URL of http, https, ws or wss.
    """
    path = "transcribe" if isinstance(parameters, TranscribeParameters) else "connect"
    # round_trip: an object goes as the JSON that it came in
    query = parameters.model_dump(mode="json", by_alias=True, exclude_none=True, round_trip=True)
    # What is off is left out, so that services of before are asked as they know it.
    asked = {name: 1 if value is True else value for name, value in query.items() if value}
    return _address(base, path).with_query(asked)


def languages_url(base: str) -> URL:
    """Return the URL that lists the languages of a service.

    Raises:
        UsageError: `base` is not a URL of http, https, ws or wss.
    """
    url = _address(base, "languages")
    return url.with_scheme({"ws": "http", "wss": "https"}[url.scheme])


def ticket_url(socket: URL) -> URL:
    """Return the URL that says whether a ticket is valid, beside that of a socket."""
    scheme = {"ws": "http", "wss": "https"}[socket.scheme]
    return socket.with_query(None).with_scheme(scheme).with_name("ticket")


def _address(base: str, name: str) -> URL:
    try:
        url = URL(base)
        (url.raw_host or "").encode("idna")  # a name of too long parts has no address
    except ValueError as error:
        raise UsageError(f"{base!r} is not a URL: {error}") from error
    if url.scheme not in _SCHEMES or not url.host:
        raise UsageError(f"{base!r} is not a URL such as {DEFAULT_URL} or wss://captions.example")
    path = f"{url.path.rstrip('/')}/api/stt/{name}"
    return url.with_scheme(_SCHEMES[url.scheme]).with_path(path)


def transcribe_parameters(**values: object) -> TranscribeParameters:
    """Return the parameters of a speaker; a value of `None` leaves the default.

    Raises:
        UsageError: a value is out of the protocol's bounds.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return TranscribeParameters.model_validate(given)
    except ValidationError as error:
        raise UsageError(explain(error, rename=_parameter)) from error


def engine_options(options: Iterable[str]) -> str:
    """Return options of the engine, each given as `NAME=VALUE`, as the JSON text for the query.

    Raises:
        UsageError: one is given in another form, or twice.
    """
    pairs: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise UsageError(f"--option {option}: it is given as NAME=VALUE")
        if name in pairs:
            raise UsageError(f"--option {name}: it is given twice")
        pairs[name] = value
    return json.dumps(pairs)


def connect_parameters(conversation: str, *, language: str | None = None) -> ConnectParameters:
    """Return the parameters of a viewer; `language` is the target of translations.

    Raises:
        UsageError: `conversation` is not a conversation id, or `language` not a BCP 47 tag.
    """
    try:
        return ConnectParameters(conversation_id=conversation, language=language)
    except ValidationError as error:
        raise UsageError(explain(error, rename=_parameter)) from error


def _parameter(path: str) -> str:
    """Return the name by which people know a parameter."""
    return _NAMES.get(path, path.replace("_", " "))
