"""Lists the languages that can be recognised, and those that can be translated into."""

from __future__ import annotations

from http import HTTPStatus

from ecs_service.api.requests import HttpResponse, json_response
from ecs_service.conversations.translations import Translations
from speech.engines.base import Engine


def list_languages(engine: Engine, translations: Translations) -> HttpResponse:
    """Return the languages as BCP 47 tags; an empty `recognition` means any.

    A client that asks to recognise a language that is not listed is refused at the handshake.
    """
    body = {
        "engine": engine.name,
        "recognition": sorted(engine.capabilities.languages),
        "translation": list(translations.languages),
        "translator": translations.translator,
    }
    return json_response(body, HTTPStatus.OK, {})
