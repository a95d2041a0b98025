"""Lists what the engine and the translator can do: languages, times of words, speakers."""

from __future__ import annotations

from http import HTTPStatus

from ecs_service.api.requests import HttpResponse, json_response
from ecs_service.conversations.translations import Translations
from speech.engines.base import Engine


def list_languages(engine: Engine, note: str, translations: Translations) -> HttpResponse:
    """Return the languages as BCP 47 tags, and what else can be had.

    An empty `recognition` means any language. A client that asks to recognise a language that is
    not listed is refused at the handshake. `note` is what users should know of the engine.
    """
    can = engine.capabilities
    body = {
        "engine": engine.name,
        "note": note,
        "capabilities": {
            "channels": can.channels,
            "punctuation": can.punctuation,
            "speakers": can.speakers,
            "stableWords": can.stable_words,
            "wordTimes": can.word_times,
        },
        "recognition": sorted(can.languages),
        "translation": list(translations.languages),
        "translator": translations.translator,
    }
    return json_response(body, HTTPStatus.OK, {})
