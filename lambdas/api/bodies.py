"""Refuses bodies that are no JSON, before the event handler reads them.

Powertools decodes and parses a body before a route is called, and raises what the decoder raises.
Such a failure of the function is an alarm, which rolls a new version back: no stranger may cause
one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from lambdas.api.problems import ProblemError

#: The longest body, bytes.
MOST_BYTES: Final = 16_384
_JSON: Final = "application/json"


def refuse_body(event: Mapping[str, Any]) -> ProblemError | None:
    """Return why the body of a request is refused; None for one that can be read."""
    body = event.get("body")
    if not body:
        return None
    is_encoded = bool(event.get("isBase64Encoded"))
    if _count_bytes(body, is_encoded=is_encoded) > MOST_BYTES:
        return ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_long", f"At most {MOST_BYTES} bytes."
        )
    kind = str(event.get("headers", {}).get("content-type", ""))
    if kind.partition(";")[0].strip().lower() != _JSON:
        return ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "invalid", f"Send JSON, as {_JSON}.")
    try:
        # As text: from bytes Python also reads UTF-16 and surrogates, which Powertools does not.
        json.loads(base64.b64decode(body).decode() if is_encoded else body)
    except (ValueError, RecursionError):
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "The body is no JSON.")
    return None


def _count_bytes(body: str, *, is_encoded: bool) -> int:
    """Return the length of a body, which is not decoded for that."""
    if is_encoded:
        return 3 * len(body) // 4 - body[-2:].count("=")
    return len(body.encode(errors="surrogatepass"))
