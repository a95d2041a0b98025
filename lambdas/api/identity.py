"""Finds out who sends a request, by its one credential."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias

from access.callers import Person
from access.decisions import Reason
from access.secret import Secret, parse_secret
from access.store import AccessTable
from access.tokens import IssuerUnavailable, TokenRefused, TokenVerifier
from lambdas.api.problems import ProblemError, refuse, unavailable

#: One credential. A comma joins several headers, and is in none.
_BEARER: Final = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]+)")

#: A person, or the secret of a share link, which names no conversation.
Identity: TypeAlias = Person | Secret


@dataclass(frozen=True, slots=True)
class Identification:
    """Verifies credentials."""

    table: AccessTable
    verifier: TokenVerifier

    def identify(self, authorization: str | None) -> Identity:
        """Return who sends a request with this header `Authorization`.

        Raises:
            ProblemError: nobody, or the credential is not valid.
        """
        if not authorization:
            raise refuse(Reason.NOT_SIGNED_IN)
        found = _BEARER.fullmatch(authorization)
        if found is None:
            raise _invalid("Give one credential: `Authorization: Bearer ...`.")
        credential = found[1]
        if credential.startswith("csl_"):
            link = parse_secret("csl", credential)
            if link is None:
                raise refuse(Reason.LINK_INVALID)
            return link
        if credential.startswith("csk_"):
            return self._person_of_key(parse_secret("csk", credential))
        try:
            return self.verifier.verify(credential)
        except TokenRefused:
            raise _invalid("Your sign-in is over, or not valid here: sign in again.") from None
        except IssuerUnavailable:
            raise unavailable() from None

    def _person_of_key(self, secret: Secret | None) -> Person:
        key = None if secret is None else self.table.find_key(secret.id)
        if key is None or secret is None or not secret.matches(key.secret_hash):
            raise refuse(Reason.KEY_INVALID)
        return Person(key.subject, key=key.key_id)


def _invalid(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, "token_invalid", detail)
