"""Checks of all settings before anything starts.

The programs of the demo check their settings when they start, and by then the emulator runs and
the stacks are deployed. So the settings are checked here first, from the very environments that the
programs will get, and everything that is wrong is reported at once.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Final, TypeVar

from botocore.exceptions import BotoCoreError
from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsError

import ecs_service.settings
import gpu_server.settings
from local_cloud import ROOT
from local_cloud.emulator.environment import isolated_environment, shared_environment
from local_cloud.errors import InvalidSettings, LaunchError
from local_cloud.launcher import preflight
from local_cloud.launcher.account import AwsAccount
from local_cloud.launcher.data_folder import data_folder
from local_cloud.launcher.parts.recordings import RecordingsPart
from local_cloud.launcher.parts.service import service_environment
from local_cloud.launcher.plan import AMAZON, PSEUDO, DemoPlan, make_plan
from local_cloud.launcher.preflight import Problems
from local_cloud.stacks.deployment import StackOutputs
from speech.engines.errors import EngineError
from speech.engines.registry import ENGINES, list_unread_settings
from speech.transcribers.choice import (
    DEFAULT_MODEL,
    TranscriberSpec,
    choose_kind,
    create_transcriber,
    find_unused_settings,
    inspect_machine,
)
from speech.transcribers.errors import TranscriberUnavailable

#: Stand for an address and a name that are not known yet.
_URL: Final = "http://127.0.0.1:1"
_NAME: Final = "not-known-yet"
#: A value that is longer than this is not quoted, characters.
_WIDTH: Final = 60
#: Prefixes of variables that only we use.
_PREFIXES: Final = ("TRANSCRIB", "TRANSLAT")
#: The similarity of two names, of 1, from which one is taken for a misspelling of the other.
_SIMILARITY: Final = 0.88
#: How the names of the settings begin that a translator does not use.
_IGNORED_BY_TRANSLATOR: Final[Mapping[str, tuple[str, ...]]] = {
    "none": ("TRANSLATE_",),
    PSEUDO: ("TRANSLATE_REGION", "TRANSLATE_TERMINOLOGY"),
    AMAZON: (),
}
#: Settings that earlier versions had, and why they do nothing.
_REMOVED: Final = {
    "TRANSCRIBE_TRANSPORT": "Amazon Transcribe is reached over WebSocket, port 8443, only",
}
#: Settings of the launcher and of the client.
_OTHERS: Final = ("ACCESS", "LOCAL_DIR", "CLOUDSCRIBE_URL", "CONVERSATIONS_TABLE")

_Settings = TypeVar("_Settings", bound=BaseSettings)


def validate(
    environment: Mapping[str, str], find_account: Callable[[Mapping[str, str]], AwsAccount]
) -> DemoPlan:
    """Return the plan that `environment` asks for, with warnings among its notes.

    Args:
        environment: the launcher's.
        find_account: see `make_plan`.

    Raises:
        InvalidSettings: a setting is wrong.
    """
    found = preflight.problems(environment)
    plan = None
    try:
        plan = make_plan(environment, find_account)
    except LaunchError as error:
        found["AWS"] = str(error)
    of_service = find_service_problems(environment, plan)
    of_recordings = find_recordings_problems(environment)
    for name, text in (*of_service.items(), *of_recordings.items()):
        found.setdefault(name, text)  # the first check that finds it has the best words
    if plan is None or found:
        raise InvalidSettings("\n".join(found.values()))
    notes = (
        *note_unused(environment, plan),
        *warn_of_unknown(environment),
        *note_recordings(environment),
    )
    return replace(plan, notes=(*plan.notes, *notes))


def note_unused(environment: Mapping[str, str], plan: DemoPlan) -> Iterator[str]:
    """Yield notes about the service's settings that are set and have no effect in this plan."""
    translator = plan.settings["TRANSLATOR"]
    ignored = tuple(name.upper() for name in list_unread_settings(plan.engine))
    engine = f"the engine {plan.engine}"
    if plan.local_transcribe:
        ignored += ("TRANSCRIBE_REGION",)
        engine = "a local Amazon Transcribe"
    for user, prefixes in (
        (engine, ignored),
        (f"the translator {translator}", _IGNORED_BY_TRANSLATOR[translator]),
    ):
        names = [
            name
            for name in map(str.upper, ecs_service.settings.Settings.model_fields)
            if name.startswith(prefixes) and environment.get(name)
        ]
        # Amazon Translate is in Transcribe's region, unless it has one of its own.
        if environment.get("TRANSCRIBE_REGION") == plan.settings.get("TRANSLATE_REGION"):
            names = [name for name in names if name != "TRANSCRIBE_REGION"]
        if names:
            yield f"{' and '.join(names)}: no effect with {user}."


def warn_of_unknown(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that looks like a setting and is none."""
    models = (ecs_service.settings.Settings, gpu_server.settings.Settings)
    known = {name.upper() for model in models for name in model.model_fields} | {*_OTHERS}
    for name in sorted(environment.keys() - known):
        if name in _REMOVED:
            yield f"Warning: {name} does nothing any more: {_REMOVED[name]}."
            continue
        is_ours = name.startswith(_PREFIXES)
        cutoff = 0.6 if is_ours else _SIMILARITY
        swapped = [each for each in known if sorted(each) == sorted(name)]
        similar = swapped or difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
        if is_ours or similar:
            meant = f"; is {similar[0]} meant?" if similar else "."
            yield f"Warning: there is no setting {name}, so it does nothing{meant}"


def find_service_problems(environment: Mapping[str, str], plan: DemoPlan | None) -> Problems:
    """Return what the service would refuse; without a plan, as far as that can be checked."""
    is_shared = plan is not None and plan.own_account
    make = shared_environment if is_shared else isolated_environment
    child = make(_URL, environment)
    if plan is not None:
        child |= plan.settings
        if plan.local_transcribe:
            child["TRANSCRIBE_ENDPOINT"] = _URL
    child |= {"QUEUE_URL": _URL, "TABLE_NAME": _NAME, "STREAMS_TABLE": _NAME}
    child |= {"OUTBOX_PATH": _NAME}
    has_accounts = plan is not None and plan.has_accounts
    child = service_environment(child, port=1, access_table=_NAME if has_accounts else None)
    settings, problems = parse(ecs_service.settings.Settings, child)
    if settings is None or plan is None:
        return problems
    try:
        with environment_of(child):
            ENGINES[settings.engine].create(settings, settings.capacity)
    except (ValueError, BotoCoreError, EngineError) as error:
        problems["ENGINE"] = f"The engine {settings.engine} cannot be used: {error}"
    return problems


def note_recordings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield notes about the server for recordings, whose settings are valid."""
    settings, _ = _parse_recordings(environment)
    if settings is None or settings.spec == TranscriberSpec():
        return
    spec = settings.spec
    chosen = choose_kind(spec, inspect_machine())
    unused = ", ".join(find_unused_settings(spec, chosen))
    if unused:
        yield f"Recordings: transcribed by {chosen}, on which {unused} has no effect."
    model = spec.model or DEFAULT_MODEL
    if chosen != "embedded" and not (ROOT / model).is_dir():
        log = data_folder(environment) / "logs" / "transcriber.log"
        yield (
            f"Recordings: the model {model} is fetched from the Hugging Face hub, unless it was "
            f"before. They wait until it is loaded; where it cannot be, {log} has why."
        )


def find_recordings_problems(environment: Mapping[str, str]) -> Problems:
    """Return what the server for recordings would refuse."""
    settings, problems = _parse_recordings(environment)
    if settings is None or settings.spec == TranscriberSpec():
        return problems  # nothing was chosen
    try:
        create_transcriber(settings.spec)
    except TranscriberUnavailable as error:
        problems["MODEL"] = f"Recordings cannot be transcribed: {error}."
    return problems


def _parse_recordings(
    environment: Mapping[str, str],
) -> tuple[gpu_server.settings.Settings | None, Problems]:
    """Return the settings of the server for recordings, or what is wrong with them."""
    part = RecordingsPart(log=Path(os.devnull), work=Path(os.devnull), port=1, token=_NAME * 2)
    names = {field.name: _URL for field in fields(StackOutputs)}
    part.configure(environment, StackOutputs(**names | {"recordings_bucket": _NAME}))
    return parse(gpu_server.settings.Settings, part.environment)


def parse(
    model: type[_Settings], environment: Mapping[str, str]
) -> tuple[_Settings | None, Problems]:
    """Return the settings in an environment, or what is wrong with it."""
    problems: Problems = {}
    given = dict(environment)
    while True:
        try:
            with environment_of(given):
                settings = model()
        except SettingsError as error:  # names the first field whose value is not JSON
            name = next(name for name in model.model_fields if f'"{name}"' in str(error))
            problems[name.upper()] = f"{_quote(model, name, given)}: this is not JSON."
            del given[name.upper()]
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=False):
                name = str(detail["loc"][0]) if detail["loc"] else ""
                problems.setdefault(name.upper(), _describe(model, name, detail, given))
            return None, problems
        else:
            return (None if problems else settings), problems


def _describe(
    model: type[BaseSettings], name: str, detail: ErrorDetails, given: Mapping[str, str]
) -> str:
    """Return a sentence about one error of validation."""
    within = ".".join(str(part) for part in detail["loc"][1:])
    why = re.sub("^(Input|String) should", "it should", detail["msg"])
    why = why.removeprefix("Value error, ")
    field = model.model_fields.get(name)
    if field is None:  # about several variables, which the text names
        return f"{why}."
    meant = f" ({field.description})" if field.description else ""
    return f"{_quote(model, name, given)}: {f'{within}: ' if within else ''}{why}{meant}."


def _quote(model: type[BaseSettings], name: str, given: Mapping[str, str]) -> str:
    """Return `NAME=value`, or the name alone where the value is secret, long or unprintable."""
    value = given.get(name.upper(), "")
    is_secret = SecretStr.__name__ in str(model.model_fields[name].annotation)
    is_plain = value.isprintable() and len(value) <= _WIDTH and not is_secret
    return f"{name.upper()}={value}" if is_plain else name.upper()


@contextmanager
def environment_of(variables: Mapping[str, str]) -> Iterator[None]:
    """Replace `os.environ` within the context, for code that reads it directly."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
