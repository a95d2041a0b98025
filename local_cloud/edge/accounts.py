"""What the edge serves of accounts: `/access.json`, the API, and the pages of the sign-in.

CloudFront passes `/api/app/` to the HTTP API with a secret header, and so does the edge. The pages
where people sign in have an address of their own in AWS. Here the edge relays them to the emulator.
So the page's rules for connections need no exception, and the emulator's other paths, which check
no credentials, are not offered to browsers at the page's address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from access.messages import ROOT as API_ROOT
from access.messages import AccountAccess, OpenAccess
from ecs_service.access.edge import EDGE_HEADER

#: The file in which the page and the client find out where to sign in.
ACCESS_FILE: Final = "/access.json"
#: What is passed on of the pool's pages.
SIGN_IN: Final = frozenset(
    {
        ("GET", "/oauth2/authorize"),
        ("POST", "/login"),
        ("GET", "/logout"),
        ("POST", "/oauth2/token"),
        ("POST", "/oauth2/revoke"),
    }
)
#: The headers of these pages. They run no script, and nobody frames them. A stricter
#: `Referrer-Policy` would make browsers send the form with the origin `null`.
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request is passed on to.

    Attributes:
        url: without the query.
        headers: those that are set on the request.
        answer_headers: those that are set on the answer.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    answer_headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeAccounts:
    """The accounts' addresses at the emulator, and what `/access.json` says.

    Attributes:
        aws: the emulator's address.
        api_path: the path of the HTTP API there.
        secret: the header's value by which the API knows the edge.
        issuer: what the pool's tokens name as their issuer.
        page_client_id: the client as which the page signs in.
        program_client_id: the client as which programs sign in.
    """

    aws: str
    api_path: str
    secret: str = field(repr=False)
    issuer: str
    page_client_id: str
    program_client_id: str

    def find_target(self, method: str, path: str) -> Target | None:
        """Return where a request goes that is not for the page or the service; None if it is."""
        if path.startswith(f"{API_ROOT}/"):
            return Target(f"{self.aws}{self.api_path}{path}", {EDGE_HEADER: self.secret})
        if (method, path) in SIGN_IN:
            return Target(f"{self.aws}{path}", answer_headers=PAGE_HEADERS)
        return None

    def describe(self, host: str) -> AccountAccess:
        """Return what `/access.json` says to a client that reaches the page at `host`."""
        page = f"http://{host}"
        return AccountAccess(
            issuer=self.issuer,
            page_client_id=self.page_client_id,
            program_client_id=self.program_client_id,
            authorization_endpoint=f"{page}/oauth2/authorize",
            token_endpoint=f"{page}/oauth2/token",
            logout_endpoint=f"{page}/logout",
            revocation_endpoint=f"{page}/oauth2/revoke",
        )


def describe_access(accounts: EdgeAccounts | None, host: str) -> bytes:
    """Return `/access.json`; without accounts everybody may do everything."""
    access = OpenAccess() if accounts is None else accounts.describe(host)
    return access.model_dump_json(by_alias=True, exclude_none=True).encode()
