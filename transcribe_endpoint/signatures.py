"""Verification of Signature Version 4, as a service does it.

A request is signed in its headers (HTTP/2) or in its query (a presigned WebSocket address), and in
a signed event stream each frame is signed as well. The signature of the request is the seed of a
chain: the signature of each frame covers the one before it, so no frame can be omitted, doubled or
exchanged.

    signer = verify_headers("POST", path, query, headers, secrets=secrets, now=now)
    chain = ChunkVerifier(signer)
    chain.verify(message.headers, message.payload, now=now)

The messages are those of AWS, as users of its SDKs report them. They hold no secret and no part of
the canonical request. Once a stream is open, the service reports all of them as
`BadRequestException`.

SignatureError               a ServiceError
├── MissingSignature         nothing is signed
├── IncompleteSignature      parts of the signature are missing, malformed or for another service
├── UnknownKey               the access key is unknown, or a temporary one lacks its token
├── Expired                  signed too long ago, or too far in the future
└── WrongSignature           signed with another secret, or changed after it was signed

The algorithm: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html;
signatures of frames: https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

from transcribe_endpoint.errors import ServiceError

ALGORITHM: Final = "AWS4-HMAC-SHA256"
CHUNK_ALGORITHM: Final = "AWS4-HMAC-SHA256-PAYLOAD"
SERVICE: Final = "transcribe"
#: The tolerated difference of clocks in either direction, and the lifetime of a signature.
TOLERANCE: Final = timedelta(minutes=5)

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
_SIGNATURE_HEX_DIGITS: Final = 64
_UNRESERVED: Final = "-_.~"
#: Prefix of access keys that need a session token.
_TEMPORARY: Final = "ASIA"
#: The first bytes of an encoded `:date` header: length, name, and the type of a timestamp.
_ENCODED_DATE: Final = b"\x05:date\x08"
_QUERY_PARTS: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
)


class SignatureError(ServiceError):
    """The signature of a request or of a frame is missing or not valid."""

    error_type = "InvalidSignatureException"
    status = 403


class MissingSignature(SignatureError):
    """The request is not signed at all."""

    error_type = "MissingAuthenticationTokenException"

    def __init__(self) -> None:
        super().__init__("Missing Authentication Token")


class IncompleteSignature(SignatureError):
    """A part of the signature is missing, malformed or for another service."""

    error_type = "IncompleteSignatureException"


class UnknownKey(SignatureError):
    """The access key is unknown, or it needs a session token that was not sent."""

    error_type = "UnrecognizedClientException"

    def __init__(self) -> None:
        super().__init__("The security token included in the request is invalid.")


class Expired(SignatureError):
    """The signature is too old, or from the future."""


class WrongSignature(SignatureError):
    """The signature does not match the request and the secret."""

    def __init__(self) -> None:
        super().__init__(
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method. Consult the service "
            "documentation for details."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """The signer of a verified request, and the seed for the signatures of its frames."""

    access_key: str
    region: str
    #: The signature of the request, 32 bytes.
    seed: bytes = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """The parts of a signature that a request carries."""

    credential: str
    date: str
    signed_headers: str
    signature: str
    token: str
    payload_sha256: str
    #: The lifetime of the signature.
    validity: timedelta = TOLERANCE


def verify_presigned(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    secrets: Mapping[str, str],
    now: datetime,
) -> Signer:
    """Verify a request whose query carries the signature. The arguments: see `verify_headers`.

    Raises:
        SignatureError: the request is refused.
    """
    pairs = _pairs(query)
    claim = _query_claim(pairs)
    unsigned = [pair for pair in pairs if pair[0] != "X-Amz-Signature"]
    return _verify(claim, method, path, unsigned, headers, secrets=secrets, now=now)


def verify_headers(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    secrets: Mapping[str, str],
    now: datetime,
    body: bytes | None = None,
) -> Signer:
    """Verify a request whose `authorization` header carries the signature.

    The body of an event stream is signed frame by frame, and in the request counts as empty
    unless `x-amz-content-sha256` says otherwise.

    Args:
        method: As sent, e.g. `POST`.
        path: As sent, percent-encoded, without the query.
        query: As sent, percent-encoded, without the `?`.
        headers: By lower-case name; `host` with the port if one was sent. HTTP/2's `:authority`
            also counts as `host`: Python's SDK signs the one, Node's the other.
        secrets: The secret access key of each access key that is known.
        now: The time by the service's clock, with a time zone.
        body: The body, where it is signed with the request; None for an event stream.

    Raises:
        SignatureError: the request is refused.
    """
    claim = _header_claim(headers)
    if body is not None:
        claim = replace(claim, payload_sha256=hashlib.sha256(body).hexdigest())
    return _verify(claim, method, path, _pairs(query), headers, secrets=secrets, now=now)


class ChunkVerifier:
    """The chain of signatures over the frames of one stream."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._prior = signer.seed
        self._day = ""
        self._key = b""

    def verify(self, headers: Mapping[str, object], payload: bytes, *, now: datetime) -> None:
        """Verify the next frame, whose decoded event-stream headers and payload are given.

        `headers` needs `:date`, milliseconds since 1970, and `:chunk-signature`, bytes. A refused
        frame does not change the chain.

        Raises:
            SignatureError: the frame is refused, and with it the stream.
        """
        date, signature = headers.get(":date"), headers.get(":chunk-signature")
        if signature is None:
            raise MissingSignature
        # A boolean is an integer to Python, but not a timestamp.
        if not isinstance(signature, bytes) or not isinstance(date, int) or isinstance(date, bool):
            raise IncompleteSignature(
                "An event needs the headers ':date' of type timestamp and ':chunk-signature' "
                "of type bytes."
            )
        try:
            signed = datetime.fromtimestamp(date // 1000, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise IncompleteSignature("The ':date' of an event is out of range.") from error
        _check_age(signed, validity=TOLERANCE, now=now)
        calculated = self._signature(date, signed.strftime(_STAMP), payload)
        if not hmac.compare_digest(calculated, signature):
            raise WrongSignature
        self._prior = calculated

    def _signature(self, date: int, stamp: str, payload: bytes) -> bytes:
        scope = _scope(stamp, self._signer.region)
        if stamp[:8] != self._day:  # a stream may go on past midnight
            self._day, self._key = stamp[:8], _signing_key(self._signer.secret, scope)
        lines = (
            CHUNK_ALGORITHM,
            stamp,
            scope,
            self._prior.hex(),
            hashlib.sha256(_ENCODED_DATE + struct.pack("!q", date)).hexdigest(),
            hashlib.sha256(payload).hexdigest(),
        )
        return _hmac(self._key, "\n".join(lines))


# --- reading ------------------------------------------------------------------------------


def _pairs(query: str) -> list[tuple[str, str]]:
    """Return the decoded names and values of a query in their order.

    Unlike in a form, `+` is not a space.
    """
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in parts]


def _query_claim(pairs: list[tuple[str, str]]) -> _Claim:
    names = Counter(name for name, _ in pairs)
    if not any(names[part] for part in _QUERY_PARTS):
        raise MissingSignature
    for part in _QUERY_PARTS:
        if names[part] != 1:
            raise IncompleteSignature(
                f"AWS query-string parameters must include '{part}'. "
                "Re-examine the query-string parameters."
            )
    query = dict(pairs)
    _check_algorithm(query["X-Amz-Algorithm"])
    expires = query["X-Amz-Expires"]
    longest = int(TOLERANCE.total_seconds())
    # `isdecimal` accepts digits of all alphabets; the length bounds the work of `int`.
    if not (expires.isascii() and expires.isdecimal() and len(expires) <= len(str(longest))):
        expires = "0"
    if not 1 <= int(expires) <= longest:
        raise IncompleteSignature(
            f"X-Amz-Expires must be a number of seconds between 1 and {longest}."
        )
    return _Claim(
        credential=query["X-Amz-Credential"],
        date=query["X-Amz-Date"],
        signed_headers=query["X-Amz-SignedHeaders"],
        signature=query["X-Amz-Signature"],
        token=query.get("X-Amz-Security-Token", ""),
        payload_sha256=query.get("X-Amz-Content-Sha256", _EMPTY_SHA256),
        validity=timedelta(seconds=int(expires)),
    )


def _header_claim(headers: Mapping[str, str]) -> _Claim:
    authorization = headers.get("authorization", "")
    if not authorization:
        raise MissingSignature
    algorithm, _, parameters = authorization.partition(" ")
    _check_algorithm(algorithm)
    named = (part.strip().partition("=") for part in parameters.split(","))
    parts = {name: value for name, _, value in named}
    for part in ("Credential", "Signature", "SignedHeaders"):
        if not parts.get(part):
            raise IncompleteSignature(f"Authorization header requires '{part}' parameter.")
    if "x-amz-date" not in headers:
        raise IncompleteSignature(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    return _Claim(
        credential=parts["Credential"],
        date=headers["x-amz-date"],
        signed_headers=parts["SignedHeaders"],
        signature=parts["Signature"],
        token=headers.get("x-amz-security-token", ""),
        payload_sha256=headers.get("x-amz-content-sha256", _EMPTY_SHA256),
    )


def _check_algorithm(algorithm: str) -> None:
    if algorithm != ALGORITHM:
        raise IncompleteSignature("Unsupported AWS 'algorithm'.")


# --- verifying ----------------------------------------------------------------------------


def _verify(
    claim: _Claim,
    method: str,
    path: str,
    pairs: list[tuple[str, str]],
    headers: Mapping[str, str],
    *,
    secrets: Mapping[str, str],
    now: datetime,
) -> Signer:
    access_key, day, region = _credential(claim.credential)
    signed = _stamp(claim.date)
    if claim.date[:8] != day:
        raise IncompleteSignature(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
            "from HTTP."
        )
    _check_age(signed, validity=claim.validity, now=now)
    secret = secrets.get(access_key)
    if secret is None or (access_key.startswith(_TEMPORARY) and not claim.token):
        raise UnknownKey
    names = claim.signed_headers.split(";")
    if not {"host", ":authority"} & set(names):
        raise IncompleteSignature(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        )
    canonical = "\n".join(
        (
            method,
            quote(unquote_to_bytes(_utf8(path)), safe="/" + _UNRESERVED),
            _canonical_query(pairs),
            *(f"{name}:{_canonical_header(name, headers)}" for name in names),
            "",
            claim.signed_headers,
            claim.payload_sha256,
        )
    )
    scope = _scope(claim.date, region)
    digest = hashlib.sha256(_utf8(canonical)).hexdigest()
    to_sign = f"{ALGORITHM}\n{claim.date}\n{scope}\n{digest}"
    calculated = _hmac(_signing_key(secret, scope), to_sign)
    if not hmac.compare_digest(calculated, _signature_bytes(claim.signature)):
        raise WrongSignature
    return Signer(access_key=access_key, region=region, seed=calculated, secret=secret)


def _credential(credential: str) -> tuple[str, str, str]:
    """Return access key, day and region of `KEY/DAY/REGION/SERVICE/aws4_request`."""
    try:
        access_key, day, region, service, terminator = credential.split("/")
    except ValueError:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, "
            "e.g. keyid/date/region/service/term."
        ) from None
    if service != SERVICE:
        raise IncompleteSignature(f"Credential should be scoped to correct service: '{SERVICE}'.")
    if terminator != "aws4_request":
        raise IncompleteSignature(
            "Credential should be scoped with a valid terminator: 'aws4_request'."
        )
    if not region:
        raise IncompleteSignature("Credential should be scoped to a valid region.")
    return access_key, day, region


def _stamp(date: str) -> datetime:
    try:
        signed = datetime.strptime(date, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        signed = None
    # `strptime` also accepts numbers without leading zeros.
    if signed is None or signed.strftime(_STAMP) != date:
        raise IncompleteSignature("Date must be in ISO-8601 'basic format'.")
    return signed


def _check_age(signed: datetime, *, validity: timedelta, now: datetime) -> None:
    latest, earliest = now + TOLERANCE, now - validity
    stamp, clock = signed.strftime(_STAMP), now.strftime(_STAMP)
    if signed < earliest:
        minutes = f"{validity.total_seconds() / 60:g}"
        raise Expired(
            f"Signature expired: {stamp} is now earlier than {earliest.strftime(_STAMP)} "
            f"({clock} - {minutes} min.)"
        )
    if signed > latest:
        raise Expired(
            f"Signature not yet current: {stamp} is still later than {latest.strftime(_STAMP)} "
            f"({clock} + 5 min.)"
        )


def _canonical_query(pairs: list[tuple[str, str]]) -> str:
    encoded = sorted(tuple(quote(_utf8(text), safe=_UNRESERVED) for text in pair) for pair in pairs)
    return "&".join("=".join(pair) for pair in encoded)


def _canonical_header(name: str, headers: Mapping[str, str]) -> str:
    """Return a header with its whitespace folded; empty where there is no such header."""
    other = {"host": ":authority", ":authority": "host"}.get(name, name)
    return " ".join(headers.get(name, headers.get(other, "")).split())


def _signature_bytes(signature: str) -> bytes:
    """Return the bytes of a hexadecimal signature; empty where it is none."""
    try:
        return bytes.fromhex(signature) if len(signature) == _SIGNATURE_HEX_DIGITS else b""
    except ValueError:
        return b""


def _scope(stamp: str, region: str) -> str:
    return f"{stamp[:8]}/{region}/{SERVICE}/aws4_request"


def _signing_key(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, _utf8(message), "sha256")


def _utf8(text: str) -> bytes:
    """Return text as bytes, also where it holds surrogates, which only make a signature wrong."""
    return text.encode(errors="surrogatepass")
