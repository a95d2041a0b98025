"""Where the service is: from the URL that people know to the URLs of its WebSockets."""

from __future__ import annotations

from pydantic import ValidationError
from yarl import URL

from client.errors import UsageError
from transcripts.protocol import ConnectParameters, Parameters, TranscribeParameters

#: The environment variable that names the service.
URL_VARIABLE = "CLOUDSCRIBE_URL"
#: Where `make demo` serves.
DEFAULT_URL = "http://127.0.0.1:8080"

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def transcribe_url(base: str, parameters: TranscribeParameters) -> URL:
    """Return the URL on which a speaker connects.

    Raises:
        UsageError: `base` is not a URL of http, https, ws or wss.
    """
    return _endpoint(base, "transcribe", parameters)


def connect_url(base: str, parameters: ConnectParameters) -> URL:
    """Return the URL on which a viewer connects.

    Raises:
        UsageError: `base` is not a URL of http, https, ws or wss.
    """
    return _endpoint(base, "connect", parameters)


def _endpoint(base: str, name: str, parameters: Parameters) -> URL:
    try:
        url = URL(base)
    except ValueError as error:
        raise UsageError(f"{base!r} is not a URL: {error}") from error
    if url.scheme not in _SCHEMES or not url.host:
        raise UsageError(f"{base!r} is not a URL such as {DEFAULT_URL} or wss://captions.example")
    # round_trip: an object goes as the JSON that it came in
    query = parameters.model_dump(mode="json", by_alias=True, exclude_none=True, round_trip=True)
    path = f"{url.path.rstrip('/')}/api/stt/{name}"
    return url.with_scheme(_SCHEMES[url.scheme]).with_path(path).with_query(query)


def transcribe_parameters(**values: object) -> TranscribeParameters:
    """Return the parameters of a speaker; a value of `None` leaves the default.

    Raises:
        UsageError: a value is out of the protocol's bounds.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return TranscribeParameters.model_validate(given)
    except ValidationError as error:
        raise UsageError(_complaints(error)) from error


def connect_parameters(conversation: str) -> ConnectParameters:
    """Return the parameters of a viewer.

    Raises:
        UsageError: `conversation` is not a conversation id.
    """
    try:
        return ConnectParameters(conversation_id=conversation)
    except ValidationError as error:
        raise UsageError(_complaints(error)) from error


def _complaints(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
