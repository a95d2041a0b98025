"""Whether every setting is right, before anything starts.

The programs of the demo check their settings when they start, and by then the emulator runs and
the stacks are deployed. So they are checked here first, from the very environments that the
programs will get, and all that is wrong is named at once.
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
from ecs_service.app import engine_of
from local_cloud import aws, preflight
from local_cloud.account import Account
from local_cloud.choices import TRANSCRIBE, Plan, decide
from local_cloud.deployment import Resources
from local_cloud.parts import TranscriberPart, service_environment
from local_cloud.places import ROOT, folder_of
from local_cloud.preflight import Problems
from scripts.checks import SetupError
from speech.transcribers.choice import (
    DEFAULT_MODEL,
    TranscriberSpec,
    choose_kind,
    create_transcriber,
    find_unused_settings,
    inspect_machine,
)
from speech.transcribers.errors import TranscriberUnavailable

#: Stands for an address that is not known yet.
_SOMEWHERE: Final = "http://127.0.0.1:1"
_NAME: Final = "not-known-yet"
#: A value that is longer than this is not repeated, characters.
_WIDTH: Final = 60
#: What variables are called that nobody else has.
_PREFIXES: Final = ("TRANSCRIB", "TRANSLAT")
#: How alike two names are of which one is the other misspelt, of 1.
_ALIKE: Final = 0.88
#: Settings of ours that are in neither program's, and those of the client.
_OTHERS: Final = ("LOCAL_DIR", "CLOUDSCRIBE_URL", "CONVERSATIONS_TABLE")

_Settings = TypeVar("_Settings", bound=BaseSettings)


class WrongSettings(SetupError):
    """Something about the environment; the text has a line for each problem."""


def examine(environment: Mapping[str, str], look: Callable[[Mapping[str, str]], Account]) -> Plan:
    """Return what `environment` asks for, if there is nothing wrong with it.

    Args:
        environment: the launcher's.
        look: see `decide`.

    Raises:
        WrongSettings: there is.
    """
    found = preflight.problems(environment)
    plan = None
    try:
        plan = decide(environment, look)
    except SetupError as error:
        found["AWS"] = str(error)
    for problems in (service_problems(environment, plan), transcriber_problems(environment)):
        for name, text in problems.items():
            found.setdefault(name, text)  # who names it first, names it best
    if plan is None or found:
        raise WrongSettings("\n".join(found.values()))
    notes = (*misspelt(environment), *about_recordings(environment))
    return replace(plan, said=(*plan.said, *notes))


def misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that looks like a setting and is none."""
    models = (ecs_service.settings.Settings, gpu_server.settings.Settings)
    known = {name.upper() for model in models for name in model.model_fields} | {*_OTHERS}
    for name in sorted(environment.keys() - known):
        ours = name.startswith(_PREFIXES)
        similar = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if ours else _ALIKE)
        if ours or similar:
            meant = f"; is {similar[0]} meant?" if similar else "."
            yield f"Warning: there is no setting {name}, so it does nothing{meant}"


def service_problems(environment: Mapping[str, str], plan: Plan | None) -> Problems:
    """Return what the service would not take; without a plan what can be known without."""
    shared = plan is not None and plan.own_account
    child = (aws.shared_environment if shared else aws.environment)(_SOMEWHERE, environment)
    if plan is not None:
        child |= plan.settings
        if plan.local_transcribe:
            child["TRANSCRIBE_ENDPOINT"] = _SOMEWHERE
    child |= {"QUEUE_URL": _SOMEWHERE, "TABLE_NAME": _NAME, "OUTBOX_PATH": _NAME}
    child = service_environment(child, port=1)
    settings, problems = parse(ecs_service.settings.Settings, child)
    if settings is None or plan is None or plan.engine != TRANSCRIBE:
        return problems  # the other engines cannot go wrong now
    try:
        with environment_of(child):
            engine_of(settings)
    except (ValueError, BotoCoreError) as error:
        problems["TRANSCRIBE_ENDPOINT"] = f"Amazon Transcribe cannot be used: {error}"
    return problems


def about_recordings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what has to be known of the server for recordings, whose settings are right."""
    settings, _ = _for_recordings(environment)
    if settings is None or settings.spec == TranscriberSpec():
        return
    spec = settings.spec
    chosen = choose_kind(spec, inspect_machine())
    unused = ", ".join(find_unused_settings(spec, chosen))
    if unused:
        yield f"Recordings: transcribed by {chosen}, on which {unused} has no effect."
    model = spec.model or DEFAULT_MODEL
    if chosen != "embedded" and not (ROOT / model).is_dir():
        log = folder_of(environment) / "logs" / "transcriber.log"
        yield (
            f"Recordings: the model {model} is fetched from the Hugging Face hub, unless it was "
            f"before. They wait until it is loaded; where it cannot be, {log} has why."
        )


def transcriber_problems(environment: Mapping[str, str]) -> Problems:
    """Return what the server for recordings would not take."""
    settings, problems = _for_recordings(environment)
    if settings is None or settings.spec == TranscriberSpec():
        return problems  # nothing was asked for
    try:
        create_transcriber(settings.spec)
    except TranscriberUnavailable as error:
        problems["MODEL"] = f"Recordings cannot be transcribed: {error}."
    return problems


def _for_recordings(
    environment: Mapping[str, str],
) -> tuple[gpu_server.settings.Settings | None, Problems]:
    """Return the settings of the server for recordings, or what is wrong with them."""
    part = TranscriberPart(log=Path(os.devnull), work=Path(os.devnull), port=1, token=_NAME * 2)
    names = {field.name: _SOMEWHERE for field in fields(Resources)}
    part.configure(environment, Resources(**names | {"recordings_bucket": _NAME}))
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
        except SettingsError as error:  # names one field whose value is not JSON, not all
            name = next(name for name in model.model_fields if f'"{name}"' in str(error))
            problems[name.upper()] = f"{_shown(model, name, given)}: this is not JSON."
            del given[name.upper()]
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=False):
                name = str(detail["loc"][0]) if detail["loc"] else ""
                problems.setdefault(name.upper(), _sentence(model, name, detail, given))
            return None, problems
        else:
            return (None if problems else settings), problems


def _sentence(
    model: type[BaseSettings], name: str, detail: ErrorDetails, given: Mapping[str, str]
) -> str:
    within = ".".join(str(part) for part in detail["loc"][1:])
    why = re.sub("^(Input|String) should", "it should", detail["msg"])
    why = why.removeprefix("Value error, ")
    field = model.model_fields.get(name)
    if field is None:  # about several variables, which the text names
        return f"{why}."
    meant = f" ({field.description})" if field.description else ""
    return f"{_shown(model, name, given)}: {f'{within}: ' if within else ''}{why}{meant}."


def _shown(model: type[BaseSettings], name: str, given: Mapping[str, str]) -> str:
    """Return a variable as it was given, if that is for everybody's eyes."""
    value = given.get(name.upper(), "")
    secret = SecretStr.__name__ in str(model.model_fields[name].annotation)
    plain = value.isprintable() and len(value) <= _WIDTH and not secret
    return f"{name.upper()}={value}" if plain else name.upper()


@contextmanager
def environment_of(variables: Mapping[str, str]) -> Iterator[None]:
    """Have this process the environment of another, for what reads it as that one would."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
