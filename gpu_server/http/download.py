"""Downloads recordings by URL without giving callers access to the server's own network.

Each hop is checked by itself: the form of the URL, then every address that its host resolves to.
The server connects to an address that was checked and does not resolve the name again, so a DNS
answer that changes in between has no effect (DNS rebinding). Proxies in the environment are not
used, and redirects are followed one by one, each as a new URL.

The content is not decompressed. Its size, its rate and the total time are limited.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from urllib.parse import urljoin

import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from foundation.minimum_rate import TooSlow
from gpu_server.http.public_addresses import Address, is_public, parse_address, parse_url
from gpu_server.http.transfers import Transfer
from gpu_server.problems import FetchFailed, InvalidRequest, RefusedAddress
from gpu_server.work.spool import SpoolFile

MAX_REDIRECTS: Final = 5
#: For all of a recording, redirects included, seconds.
TOTAL_SECONDS: Final = 900.0
#: DNS look-ups at a time. Each waits in a thread, and a DNS server may be slow on purpose.
LOOKUPS: Final = 4
BLOCK: Final = 1024 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({404, 410})
_OK: Final = 200

#: Returns the addresses of a host as texts.
Resolve = Callable[[str, int], Awaitable[list[str]]]


class Downloader:
    """Downloads recordings.

    Args:
        patience: how long the other side may take to answer, at each redirect, seconds.
        resolve: looks a host up.
        allowed: decides which addresses may be connected to.
    """

    def __init__(
        self,
        *,
        patience: float,
        resolve: Resolve | None = None,
        allowed: Callable[[Address], bool] = is_public,
    ) -> None:
        self._patience = patience
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="dns")
        self._resolve = resolve or self._look_up
        self._allowed = allowed

    async def fetch(self, url: str, file: SpoolFile, transfer: Transfer) -> None:
        """Write the content of a URL to an empty file, within the limits of a transfer.

        Raises:
            RefusedAddress: the URL leads to an address that is not public.
            InvalidRequest: there is nothing at the URL.
            FetchFailed: the other side does not deliver, or too slowly.
            Unprocessable: the content is too large for a recording.
            NoSpace: the disk, or the downloads' part of it, is full.
        """
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                for _ in range(MAX_REDIRECTS + 1):
                    async with self._get(url) as answer:
                        if answer.status not in _REDIRECTS:
                            await _write(answer, file, transfer)
                            return
                        url = urljoin(url, answer.headers.get("Location", ""))
        except (TimeoutError, TooSlow):
            raise FetchFailed("The other side takes too long.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed(f"The other side does not deliver: {type(error).__name__}.") from None
        raise FetchFailed(f"There are more than {MAX_REDIRECTS} redirects.")

    @contextlib.asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Request one URL without following redirects."""
        parts = parse_url(url)
        host = parts.hostname or ""
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        async with asyncio.timeout(self._patience):
            addresses = [parse_address(each) for each in await self._resolve(host, port)]
        if not addresses or not all(map(self._allowed, addresses)):
            # Without a reason, for that would reveal which names this server's network has.
            raise RefusedAddress("The URL does not lead to a public address.")
        pinned = _Pinned(addresses)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=pinned,
                socket_factory=pinned.socket,
                use_dns_cache=False,
                force_close=True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "cloudscribe"},
        ) as session:
            async with asyncio.timeout(self._patience):
                answer = await session.get(url, allow_redirects=False)
            async with answer:
                yield answer

    async def _look_up(self, host: str, port: int) -> list[str]:
        """Return a host's addresses from the system's resolver, which knows all their forms."""
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except (OSError, UnicodeError):
            raise RefusedAddress("The host of the URL has no address.") from None
        return list(dict.fromkeys(str(each[4][0]) for each in found))


class _Pinned(AbstractResolver):
    """A resolver that returns the checked addresses for every name."""

    def __init__(self, addresses: list[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - as aiohttp calls it
    ) -> list[ResolveResult]:
        """Return the checked addresses, whatever the host."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,  # noqa: PLR2004 - IPv4
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    def socket(self, info: AddrInfoType) -> socket.socket:
        """Return a socket for an address after a last check.

        aiohttp does not resolve literal addresses, and libraries may read a host in other ways than
        a resolver does.

        Raises:
            OSError: the address was not checked.
        """
        family, kind, protocol, _, address = info
        if parse_address(str(address[0])) not in self._addresses:
            raise OSError("the address was not checked")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Do nothing: the resolver holds no resource."""


async def _write(answer: aiohttp.ClientResponse, file: SpoolFile, transfer: Transfer) -> None:
    if answer.status in _GONE:
        raise InvalidRequest("There is nothing at the URL.")
    if answer.status != _OK:
        problem = FetchFailed(f"The other side answers with status {answer.status}.")
        problem.retryable = answer.status >= 500  # noqa: PLR2004 - a server error
        raise problem
    if answer.content_length is not None:
        file.check_size(answer.content_length)
        transfer.check_room(answer.content_length)
    async for block in transfer.pieces(answer.content.iter_chunked(BLOCK)):
        await asyncio.to_thread(file.write, block)
