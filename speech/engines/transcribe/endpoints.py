"""The URL of the service. AWS's partitions and their domains are in botocore's data."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from botocore.session import Session

_SCHEMES = {"wss": "wss", "https": "wss", "ws": "ws", "http": "ws"}


def websocket_url(region: str, endpoint: str | None) -> str:
    """Return the WebSocket URL of the service: of `endpoint` if given, else of `region`.

    Raises:
        ValueError: `endpoint` is no URL of the scheme wss, https, ws or http; or AWS has no such
            region.
    """
    if endpoint is None:
        return f"wss://{_host(region)}:8443"
    url = urlsplit(endpoint)
    if url.scheme not in _SCHEMES or not url.hostname or url.query or url.username:
        raise ValueError("the endpoint of Transcribe is a URL such as https://host:8443")
    return f"{_SCHEMES[url.scheme]}://{url.netloc}{url.path.rstrip('/')}"


def _host(region: str) -> str:
    for partition in Session().get_data("partitions")["partitions"]:
        if re.match(partition["regionRegex"], region):
            return f"transcribestreaming.{region}.{partition['outputs']['dnsSuffix']}"
    raise ValueError(f"AWS has no region {region!r}")
