"""The signed URL of a WebSocket, by botocore's signer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

#: The service's name in a signature's scope.
SIGNING_NAME = "transcribe"
#: How long a URL may be used, in seconds: the service takes no more.
EXPIRES_SECONDS = 300
PATH = "/stream-transcription-websocket"

# At DEBUG it logs each request that it signs, token and signature and all.
logging.getLogger("botocore.auth").setLevel(logging.INFO)

_SCHEMES = {"wss": "wss", "https": "wss", "ws": "ws", "http": "ws"}
#: The partitions that have a domain of their own.
_DOMAINS = {"cn-": "amazonaws.com.cn"}


def base_url(region: str, endpoint: str | None) -> str:
    """Return the address of the service in `region`, or `endpoint` as a WebSocket's.

    Raises:
        ValueError: `endpoint` is no URL of the scheme wss, https, ws or http.
    """
    if endpoint is None:
        domain = next((d for p, d in _DOMAINS.items() if region.startswith(p)), "amazonaws.com")
        return f"wss://transcribestreaming.{region}.{domain}:8443"
    url = urlsplit(endpoint)
    if url.scheme not in _SCHEMES or not url.hostname or url.query or url.username:
        raise ValueError("the endpoint of Transcribe is a URL such as https://host:8443")
    return f"{_SCHEMES[url.scheme]}://{url.netloc}{url.path.rstrip('/')}"


def presigned(
    base: str, parameters: Mapping[str, str], *, region: str, credentials: ReadOnlyCredentials
) -> str:
    """Return the URL that opens a stream. It is a secret: whoever has it can use it."""
    query = urlencode(parameters, quote_via=quote)
    request = AWSRequest("GET", f"{base}{PATH}?{query}")
    SigV4QueryAuth(credentials, SIGNING_NAME, region, expires=EXPIRES_SECONDS).add_auth(request)
    return str(request.url)
