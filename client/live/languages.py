"""Ask a service what it recognises, and into which languages it translates."""

from __future__ import annotations

import aiohttp
from pydantic import ConfigDict, ValidationError

from client.errors import NoConnection
from client.live.connection import CONNECT_SECONDS
from client.live.endpoints import languages_url
from transcripts.models import Model


class EngineCapabilities(Model):
    """What an engine can do besides."""

    model_config = ConfigDict(extra="ignore")

    channels: int = 1
    punctuation: bool = False
    speakers: bool = False
    stable_words: bool = False
    word_times: bool = False

    def describe(self) -> str:
        """Return them in words for people."""
        features = {
            "punctuation": self.punctuation,
            "times of words": self.word_times,
            "words marked as likely to stay": self.stable_words,
            "speakers": self.speakers,
            f"{self.channels} channels": self.channels > 1,
        }
        return ", ".join(name for name, is_given in features.items() if is_given) or "words only"


class Languages(Model):
    """The answer of the service: BCP 47 tags. No `recognition` at all means any language."""

    model_config = ConfigDict(extra="ignore")

    #: The engine; older services do not name it.
    engine: str | None = None
    #: What users should know of the engine's results; older services send none.
    note: str = ""
    capabilities: EngineCapabilities | None = None
    recognition: tuple[str, ...]
    translation: tuple[str, ...]
    #: The translator; `pseudo` is a stand-in that only marks the text.
    translator: str | None = None

    @property
    def by(self) -> str:
        """The translator, in words for people."""
        stand_in = self.translator == "pseudo"
        return "marked by a stand-in, not translated" if stand_in else f"by {self.translator}"


async def ask_for_languages(base: str) -> Languages:
    """Request the languages of the service at `base`, the URL that people use.

    Raises:
        UsageError: `base` is not a URL.
        NoConnection: nothing answers there, or another kind of server.
    """
    url = languages_url(base)
    patience = aiohttp.ClientTimeout(total=CONNECT_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=patience) as http, http.get(url) as answer:
            answer.raise_for_status()
            return Languages.model_validate_json(await answer.read())
    except aiohttp.ClientResponseError as error:
        raise NoConnection(
            f"{url.origin()} answers, but not as this service does: HTTP {error.status}"
        ) from error
    except ValidationError as error:
        raise NoConnection(f"{url.origin()} answers, but not as this service does") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = getattr(error, "os_error", error)  # without aiohttp's own words
        raise NoConnection(f"{url.origin()} does not answer: {reason}") from error
