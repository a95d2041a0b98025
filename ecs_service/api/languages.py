"""For whoever chooses a language: what is understood, and what can be read."""

from __future__ import annotations

from http import HTTPStatus

from ecs_service.api.requests import Answer, as_json
from ecs_service.conversations.translations import Translations
from speech.engines.base import Capabilities


class Languages:
    """Answers about languages."""

    def __init__(self, capabilities: Capabilities, translations: Translations) -> None:
        self._capabilities = capabilities
        self._translations = translations

    def languages(self) -> Answer:
        """Return the languages as BCP 47 tags; no `recognition` at all means any."""
        body = {
            "recognition": sorted(self._capabilities.languages),
            "translation": list(self._translations.languages),
            "translator": self._translations.translator,
        }
        return as_json(body, HTTPStatus.OK, {})
