"""The signed URL of a WebSocket, by botocore's signer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

#: The service's name in a signature's scope.
SIGNING_NAME = "transcribe"
#: How long a URL is valid, in seconds: the service's maximum.
EXPIRES_SECONDS = 300

# At DEBUG it logs each signed request with its token and signature.
logging.getLogger("botocore.auth").setLevel(logging.INFO)


def presign(
    url: str, parameters: Mapping[str, str], *, region: str, credentials: ReadOnlyCredentials
) -> str:
    """Return the signed URL that opens a stream. It is a secret, because anybody can use it."""
    query = urlencode(parameters, quote_via=quote)
    request = AWSRequest("GET", f"{url}?{query}")
    SigV4QueryAuth(credentials, SIGNING_NAME, region, expires=EXPIRES_SECONDS).add_auth(request)
    return str(request.url)
