"""Lists the languages that are recognised, and those that are translated into."""

from __future__ import annotations

from http import HTTPStatus

from ecs_service.api.requests import Answer, as_json
from ecs_service.conversations.translations import Translations
from speech.engines.base import Engine


class Languages:
    """Answers about languages."""

    def __init__(self, engine: Engine, translations: Translations) -> None:
        self._engine = engine
        self._translations = translations

    def languages(self) -> Answer:
        """Return the languages as BCP 47 tags; no `recognition` at all means any.

        Whoever asks for another one to be recognised is refused at the handshake.
        """
        body = {
            "engine": self._engine.name,
            "recognition": sorted(self._engine.capabilities.languages),
            "translation": list(self._translations.languages),
            "translator": self._translations.translator,
        }
        return as_json(body, HTTPStatus.OK, {})
