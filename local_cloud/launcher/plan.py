"""The plan of a demo: which engine and translator it uses, and which AWS account pays for them.

    ENGINE=transcribe   TRANSCRIBE_ENDPOINT   credentials      Amazon Transcribe is
                        local                 any              local
                        not set               none of AWS's    local
                        not set               of AWS           AWS itself
                        at AWS                of AWS           AWS itself, at that address
                        anywhere else         any, or none     at that address

Translations are made by a stand-in, and by Amazon Translate where Transcribe is AWS itself, unless
`TRANSLATOR` is set. The decision is printed before anything starts, because AWS bills for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from local_cloud.errors import LaunchError
from local_cloud.launcher.account import AwsAccount
from local_cloud.launcher.preflight import ACCOUNTS
from speech.engines.embedded import BEST, FALLBACK, choose_embedded
from speech.engines.names import EMBEDDED_LANGUAGES
from speech.engines.registry import ENGINES
from speech.engines.transcribe.options import LANGUAGES
from speech.transcribe_operations import is_medical

TRANSCRIBE: Final = "transcribe"
#: The value of `TRANSCRIBE_ENDPOINT` for a local Transcribe, whatever credentials there are.
LOCAL: Final = "local"
AMAZON: Final = "amazon"
PSEUDO: Final = "pseudo"

#: List prices in us-east-1, first tier: a minute of audio, a million characters.
TRANSCRIBE_PRICE: Final = "$0.024"
MEDICAL_PRICE: Final = "$0.075"
TRANSLATE_PRICE: Final = "$15"
#: The detection of a text's language, for up to 300 characters.
DETECT_PRICE: Final = "$0.0003"

_AWS_DOMAINS: Final = ("amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "api.aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What the demo starts, and with which settings."""

    engine: str
    #: Whether an Amazon Transcribe of the demo's own is started.
    local_transcribe: bool
    #: Whether people sign in.
    has_accounts: bool
    #: Whether the service is given the user's AWS credentials.
    own_account: bool
    #: Settings of the service, without the addresses of the other parts.
    settings: Mapping[str, str]
    #: Lines that are printed at the start.
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Transcribe:
    """The Amazon Transcribe that is used."""

    notes: tuple[str, ...]
    is_local: bool = False
    own_account: bool = False
    #: Whether it is AWS itself, which bills for it.
    is_aws: bool = False
    region: str | None = None


def make_plan(
    environment: Mapping[str, str], find_account: Callable[[Mapping[str, str]], AwsAccount]
) -> DemoPlan:
    """Return the plan that `environment` asks for.

    Args:
        environment: the launcher's.
        find_account: returns the user's AWS account; called only where that matters.

    Raises:
        LaunchError: credentials, a region or a language is missing for it; or from `find_account`.
    """
    chosen_engine = environment.get("ENGINE")
    engine = chosen_engine or choose_embedded()
    endpoint = environment.get("TRANSCRIBE_ENDPOINT") or None
    chosen_translator = environment.get("TRANSLATOR") or None
    may_be_aws = engine == TRANSCRIBE and endpoint != LOCAL
    needs_account = may_be_aws or chosen_translator == AMAZON
    account = find_account(environment) if needs_account else AwsAccount()

    transcribe = None
    if engine == TRANSCRIBE:
        region = environment.get("TRANSCRIBE_REGION") or account.region
        price = MEDICAL_PRICE if _may_be_medical(environment) else TRANSCRIBE_PRICE
        transcribe = _choose_transcribe(endpoint, region, account, price)
    settings: dict[str, str] = {}
    if transcribe and transcribe.region:
        settings["TRANSCRIBE_REGION"] = transcribe.region
    if transcribe and transcribe.is_local:
        settings["TRANSCRIBE_ALLOWED"] = _restrict_languages(environment.get("TRANSCRIBE_ALLOWED"))
        settings["ENGINE_NOTE"] = environment.get("ENGINE_NOTE") or _describe_stand_in()

    translator = chosen_translator or (AMAZON if transcribe and transcribe.is_aws else PSEUDO)
    settings["TRANSLATOR"] = translator
    if translator == AMAZON:
        regions = ("TRANSLATE_REGION", "TRANSCRIBE_REGION")
        region = next(filter(None, map(environment.get, regions)), account.region)
        settings["TRANSLATE_REGION"] = _translate_region(transcribe, region, account)
    return DemoPlan(
        engine=engine,
        local_transcribe=transcribe is not None and transcribe.is_local,
        has_accounts=environment.get("ACCESS") == ACCOUNTS,
        own_account=translator == AMAZON or (transcribe is not None and transcribe.own_account),
        settings=settings,
        notes=(
            *(transcribe.notes if transcribe else _note_engine(engine, chosen_engine)),
            *_note_translations(
                settings, account, detects=environment.get("TRANSLATE_SOURCE") == "auto"
            ),
        ),
    )


def _note_engine(engine: str, chosen: str | None) -> Iterator[str]:
    """Yield the lines about an engine on this machine."""
    notes: dict[str, str] = {name: kind.note for name, kind in ENGINES.items()}
    if note := notes.get(engine):
        yield f"Engine: {engine}. {note}."
    if not chosen:
        yield from _note_fallback()


def _note_fallback() -> Iterator[str]:
    """Yield why the best embedded engine is not used, where it is not installed."""
    if choose_embedded() == FALLBACK:
        yield f"  {BEST} recognises far better, but it has no package for this machine: it needs"
        yield "  Linux with glibc 2.34 on x86-64 or ARM64, or macOS 15 on Apple silicon."


def _describe_stand_in() -> str:
    """Return what users should know of the words of the local Amazon Transcribe."""
    engine = choose_embedded()
    return (
        f"A local stand-in for Amazon Transcribe: its words are those of the engine {engine}. "
        f"{ENGINES[engine].note}"
    )


def _restrict_languages(allowed: str | None) -> str:
    """Return `TRANSCRIBE_ALLOWED` with the languages of the local Transcribe only.

    A value that is wrong for every Transcribe is returned as it is: the service checks it.

    Raises:
        LaunchError: it names languages that the local one does not recognise.
    """
    chosen = _json_object(allowed)
    if chosen is None:
        return allowed or ""
    if chosen.get("languages") == []:  # all languages
        del chosen["languages"]
    offered = sorted(EMBEDDED_LANGUAGES[choose_embedded()])
    languages = chosen.get("languages", ())
    named = languages if isinstance(languages, list) else []
    known = {each for each in named if isinstance(each, str) and each in LANGUAGES}
    foreign = sorted(known - {*offered})
    if foreign:
        raise LaunchError(
            f"TRANSCRIBE_ALLOWED has the languages {', '.join(foreign)}, and the demo's own Amazon "
            f"Transcribe recognises {', '.join(offered)} alone: leave them out. One "
            "that speaks them from a script is in docs/transcribe-endpoint.md; name it in "
            "TRANSCRIBE_ENDPOINT."
        )
    return json.dumps({"languages": offered, **chosen})


def _may_be_medical(environment: Mapping[str, str]) -> bool:
    """Return whether a speaker can open a stream of Transcribe Medical."""
    allowed = _json_object(environment.get("TRANSCRIBE_ALLOWED")) or {}
    options = _json_object(environment.get("TRANSCRIBE_OPTIONS")) or {}
    return bool(allowed.get("medical")) or is_medical(options)


def _json_object(text: str | None) -> dict[str, object] | None:
    """Return a setting that is a JSON object; `None` where it is not."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _choose_transcribe(
    endpoint: str | None, region: str | None, account: AwsAccount, price: str
) -> _Transcribe:
    """Decide where Transcribe is; a minute of it costs `price` at most.

    Raises:
        LaunchError: it is AWS itself, and credentials or the region are missing.
    """
    if endpoint == LOCAL or (endpoint is None and not account.is_real):
        why = _why_local(endpoint, account)
        engine = choose_embedded()
        notes = (
            f"Amazon Transcribe: a local one, {why}. It costs nothing.",
            f"  Its words are those of the engine {engine}. {ENGINES[engine].note}.",
            *_note_fallback(),
        )
        return _Transcribe(notes, is_local=True)
    by = account.credentials
    if endpoint is not None and not _is_aws(endpoint):
        whose = f"the credentials of {by}" if by else "the emulator's credentials"
        note = f"Amazon Transcribe: the one at {_host(endpoint)}, with {whose}."
        return _Transcribe((note,), own_account=by is not None, region=region)
    if by is None or account.is_emulated:
        raise LaunchError(
            "TRANSCRIBE_ENDPOINT is an address of AWS, and there are no AWS credentials, "
            "neither in the environment nor in a profile. TRANSCRIBE_ENDPOINT=local needs none."
        )
    if region is None:
        raise LaunchError(
            "Amazon Transcribe needs a region: TRANSCRIBE_REGION=eu-central-1, for one. "
            "TRANSCRIBE_ENDPOINT=local stays on this machine and needs none."
        )
    at = "" if endpoint is None else f", at {_host(endpoint)}"
    note = f"Amazon Transcribe: AWS itself, region {region}{at}, with the credentials of {by}."
    costs = f"AWS bills that account by the minute streamed, at most {price} in us-east-1."
    stay = "TRANSCRIBE_ENDPOINT=local stays on this machine and costs nothing."
    notes = (note, f"  {costs}", f"  {stay}")
    return _Transcribe(notes, own_account=True, is_aws=True, region=region)


def _why_local(endpoint: str | None, account: AwsAccount) -> str:
    if endpoint == LOCAL:
        return "as TRANSCRIBE_ENDPOINT=local asks"
    if account.credentials is None:
        return "for there are no AWS credentials"
    if account.is_emulated:
        return "for the AWS credentials are an emulator's"
    return "for AWS_ENDPOINT_URL, or endpoint_url of the profile, says that AWS is elsewhere"


def _translate_region(
    transcribe: _Transcribe | None, region: str | None, account: AwsAccount
) -> str:
    """Return the region of Amazon Translate.

    Raises:
        LaunchError: credentials or the region are missing, or the engine needs other credentials.
    """
    if account.credentials is None or account.is_emulated:
        raise LaunchError(
            "TRANSLATOR=amazon needs AWS credentials, and there are none, neither in the "
            f"environment nor in a profile. TRANSLATOR={PSEUDO} needs none."
        )
    if transcribe and transcribe.is_local:
        raise LaunchError(
            "TRANSLATOR=amazon needs your AWS credentials, and the local Amazon Transcribe the "
            "emulator's; the service has one set of them. With TRANSLATOR=amazon choose another "
            f"ENGINE, or translate with TRANSLATOR={PSEUDO}."
        )
    if region is None:
        raise LaunchError(
            "Amazon Translate needs a region: TRANSLATE_REGION=eu-central-1, for one. "
            f"TRANSLATOR={PSEUDO} needs none."
        )
    return region


def _note_translations(
    settings: Mapping[str, str], account: AwsAccount, *, detects: bool
) -> tuple[str, ...]:
    """Return the lines about translations; `detects`: Translate detects the source's language."""
    translator = settings["TRANSLATOR"]
    if translator == PSEUDO:
        return ("Translations: marked by a stand-in, not translated (TRANSLATOR=pseudo).",)
    if translator != AMAZON:
        return (f"Translations: TRANSLATOR={translator}.",)
    if account.endpoint:
        return ("Translations: Amazon Translate's, where AWS_ENDPOINT_URL says.",)
    region, by = settings["TRANSLATE_REGION"], account.credentials
    return (
        f"Translations: Amazon Translate's, region {region}, with the credentials of {by}.",
        f"  AWS bills that account by the character, {TRANSLATE_PRICE} a million in us-east-1.",
        *((f"  So does Amazon Comprehend for each text, {DETECT_PRICE} at least.",) * detects),
        f"  TRANSLATOR={PSEUDO} costs nothing.",
    )


def _is_aws(endpoint: str) -> bool:
    """Return whether an address is one of AWS, which bills for calls."""
    host = _host(endpoint).partition(":")[0].lower().rstrip(".")
    return any(host == domain or host.endswith(f".{domain}") for domain in _AWS_DOMAINS)


def _host(endpoint: str) -> str:
    """Return host and port of a URL, without its user and password."""
    try:
        return urlsplit(endpoint).netloc.rpartition("@")[2] or "an address that is none"
    except ValueError:  # unbalanced brackets; the service reports what is wrong
        return "an address that is none"
