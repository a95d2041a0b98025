"""Who recognises and translates in the demo, and with whose credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from local_cloud.errors import LaunchError
from local_cloud.launcher.account import AwsAccount
from local_cloud.launcher.plan import DemoPlan, make_plan
from speech.engines import embedded
from speech.engines.embedded import choose_embedded
from speech.engines.names import EMBEDDED_LANGUAGES, EmbeddedName
from speech.engines.registry import ENGINES

pytestmark = pytest.mark.unit

NOBODY = AwsAccount()
MINE = AwsAccount('the profile "work"', "eu-central-1")
TRANSCRIBE = {"ENGINE": "transcribe"}
#: The languages of the recogniser behind the local Amazon Transcribe.
OFFERED = sorted(EMBEDDED_LANGUAGES[choose_embedded()])


def planned(account: AwsAccount, **environment: str) -> DemoPlan:
    return make_plan(environment, lambda _: account)


def unasked(_: Mapping[str, str]) -> AwsAccount:
    raise AssertionError("the user's AWS is none of its business")


def test_the_embedded_engine_and_the_stand_in_need_no_aws() -> None:
    plan = make_plan({}, unasked)

    assert plan.engine == choose_embedded()
    assert plan.settings == {"TRANSLATOR": "pseudo"}
    assert not plan.local_transcribe
    assert not plan.own_account


@pytest.mark.parametrize(("installed", "engine"), [(True, "moonshine"), (False, "pocketsphinx")])
def test_the_banner_says_who_recognises_and_why(
    monkeypatch: pytest.MonkeyPatch, *, installed: bool, engine: str
) -> None:
    monkeypatch.setattr(embedded, "is_installed", lambda: installed)

    plan = make_plan({}, unasked)

    assert plan.engine == engine
    assert f"Engine: {engine}. " in plan.notes[0]
    assert any("has no package for this machine" in note for note in plan.notes) != installed
    assert not any(
        "has no package" in note for note in make_plan({"ENGINE": engine}, unasked).notes
    )


def test_without_credentials_transcribe_is_local() -> None:
    plan = planned(NOBODY, **TRANSCRIBE, TRANSCRIBE_ENDPOINT="", TRANSLATOR="")

    assert plan.local_transcribe
    assert not plan.own_account
    assert plan.settings["TRANSLATOR"] == "pseudo"
    assert "a local one, for there are no AWS credentials" in plan.notes[0]


@pytest.mark.parametrize(("installed", "engine"), [(True, "moonshine"), (False, "pocketsphinx")])
def test_the_banner_and_the_page_name_the_engine_behind_the_local_transcribe(
    monkeypatch: pytest.MonkeyPatch, *, installed: bool, engine: EmbeddedName
) -> None:
    monkeypatch.setattr(embedded, "is_installed", lambda: installed)

    plan = planned(NOBODY, **TRANSCRIBE)

    for text in ("\n".join(plan.notes), plan.settings["ENGINE_NOTE"]):
        assert f"words are those of the engine {engine}. {ENGINES[engine].note}" in text
    assert any("has no package for this machine" in note for note in plan.notes) != installed


def test_a_note_of_ones_own_stays() -> None:
    plan = planned(NOBODY, **TRANSCRIBE, ENGINE_NOTE="Rehearsal")

    assert plan.settings["ENGINE_NOTE"] == "Rehearsal"


@pytest.mark.parametrize("environment", [{}, TRANSCRIBE | {"TRANSCRIBE_ENDPOINT": "ws://x:1"}])
def test_other_engines_keep_their_own_note(environment: dict[str, str]) -> None:
    assert "ENGINE_NOTE" not in planned(MINE, **environment).settings


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ("", {"languages": OFFERED}),
        ('{"speaker_labels": true}', {"languages": OFFERED, "speaker_labels": True}),
        ('{"languages": []}', {"languages": OFFERED}),
        ('{"languages": ["en-US"]}', {"languages": ["en-US"]}),
        ('{"languages": ["xx-XX", []]}', {"languages": ["xx-XX", []]}),
        ("[1]", [1]),
    ],
)
def test_the_local_one_offers_what_its_recogniser_knows(given: str, allowed: object) -> None:
    plan = planned(NOBODY, **TRANSCRIBE, TRANSCRIBE_ALLOWED=given)

    assert json.loads(plan.settings["TRANSCRIBE_ALLOWED"]) == allowed


def test_the_local_one_refuses_languages_that_its_recogniser_does_not_know() -> None:
    allowed = '{"languages": ["en-US", "fr-FR", "de-DE"]}'

    with pytest.raises(LaunchError, match="languages de-DE, fr-FR"):
        planned(NOBODY, **TRANSCRIBE, TRANSCRIBE_ALLOWED=allowed)
    assert (
        "TRANSCRIBE_ALLOWED" not in planned(MINE, **TRANSCRIBE, TRANSCRIBE_ALLOWED=allowed).settings
    )


def test_what_is_no_json_is_left_to_the_services_settings() -> None:
    plan = planned(NOBODY, **TRANSCRIBE, TRANSCRIBE_ALLOWED="{")

    assert plan.settings["TRANSCRIBE_ALLOWED"] == "{"


def test_with_credentials_it_is_aws_itself_and_the_cost_is_noted() -> None:
    plan = planned(MINE, **TRANSCRIBE)

    assert not plan.local_transcribe
    assert plan.own_account
    assert plan.settings == {
        "TRANSCRIBE_REGION": "eu-central-1",
        "TRANSLATOR": "amazon",
        "TRANSLATE_REGION": "eu-central-1",
    }
    notes = "\n".join(plan.notes)
    assert 'AWS itself, region eu-central-1, with the credentials of the profile "work"' in notes
    assert "bills that account by the minute streamed, at most $0.024" in notes
    assert "TRANSCRIBE_ENDPOINT=local" in notes


@pytest.mark.parametrize(
    ("settings", "price"),
    [
        ({"TRANSCRIBE_ALLOWED": '{"medical": true}'}, "$0.075"),
        ({"TRANSCRIBE_OPTIONS": '{"specialty": "UROLOGY", "type": "DICTATION"}'}, "$0.075"),
        ({"TRANSCRIBE_ALLOWED": '{"medical": false}', "TRANSCRIBE_OPTIONS": "["}, "$0.024"),
    ],
)
def test_the_price_is_that_of_the_dearest_stream_there_can_be(
    settings: dict[str, str], price: str
) -> None:
    plan = planned(MINE, **TRANSCRIBE, **settings)

    assert f"at most {price} in us-east-1" in "\n".join(plan.notes)


def test_credentials_are_left_alone_where_transcribe_is_asked_to_be_local() -> None:
    plan = make_plan(TRANSCRIBE | {"TRANSCRIBE_ENDPOINT": "local"}, unasked)

    assert plan.local_transcribe
    assert not plan.own_account


@pytest.mark.parametrize(
    "account",
    [
        AwsAccount("the environment", "eu-central-1", is_emulated=True),
        AwsAccount("the environment", "eu-central-1", endpoint="http://localhost:4566"),
    ],
)
def test_what_is_meant_for_another_emulator_sends_nothing_to_aws(account: AwsAccount) -> None:
    plan = planned(account, **TRANSCRIBE)

    assert plan.local_transcribe
    assert not plan.own_account


@pytest.mark.parametrize("account", [NOBODY, MINE])
def test_at_an_address_of_ones_own_ones_credentials_are_used_if_there_are_any(
    account: AwsAccount,
) -> None:
    plan = planned(account, **TRANSCRIBE, TRANSCRIBE_ENDPOINT="ws://user:word@127.0.0.1:8443/x")

    assert not plan.local_transcribe
    assert plan.own_account is (account is MINE)
    assert plan.settings["TRANSLATOR"] == "pseudo"
    assert plan.settings.get("TRANSCRIBE_REGION") == account.region
    assert "the one at 127.0.0.1:8443, with" in plan.notes[0]


@pytest.mark.parametrize(
    "endpoint",
    [
        "wss://transcribestreaming.eu-central-1.amazonaws.com:8443",
        "https://vpce-1.transcribestreaming.eu-central-1.vpce.AMAZONAWS.com",
        "https://transcribestreaming.cn-north-1.amazonaws.com.cn",
        "https://transcribestreaming.eusc-de-east-1.amazonaws.eu",
        "https://transcribe-streaming.eu-central-1.api.aws",
    ],
)
def test_an_address_of_aws_is_aws_itself(endpoint: str) -> None:
    plan = planned(MINE, **TRANSCRIBE, TRANSCRIBE_ENDPOINT=endpoint)

    assert plan.settings["TRANSLATOR"] == "amazon"
    assert "bills" in "\n".join(plan.notes)
    with pytest.raises(LaunchError, match="no AWS credentials"):
        planned(NOBODY, **TRANSCRIBE, TRANSCRIBE_ENDPOINT=endpoint)


def test_an_address_that_only_looks_like_one_of_aws_is_none() -> None:
    plan = planned(NOBODY, **TRANSCRIBE, TRANSCRIBE_ENDPOINT="ws://notamazonaws.com")

    assert "bills" not in "\n".join(plan.notes)


def test_regions_of_the_service_come_before_those_of_the_account() -> None:
    given = {"TRANSCRIBE_REGION": "us-west-2", "TRANSLATE_REGION": "eu-west-1"}

    assert planned(MINE, **TRANSCRIBE, **given).settings == given | {"TRANSLATOR": "amazon"}
    del given["TRANSLATE_REGION"]
    assert planned(MINE, **TRANSCRIBE, **given).settings["TRANSLATE_REGION"] == "us-west-2"


def test_aws_without_a_region_is_refused_by_the_settings_name() -> None:
    with pytest.raises(LaunchError, match="TRANSCRIBE_REGION="):
        planned(AwsAccount("the environment"), **TRANSCRIBE)
    with pytest.raises(LaunchError, match="TRANSLATE_REGION="):
        planned(AwsAccount("the environment"), TRANSLATOR="amazon")


@pytest.mark.parametrize("translator", ["none", "pseudo"])
def test_ones_own_translator_wins(translator: str) -> None:
    plan = planned(MINE, **TRANSCRIBE, TRANSLATOR=translator)

    assert plan.settings == {"TRANSCRIBE_REGION": "eu-central-1", "TRANSLATOR": translator}
    assert f"TRANSLATOR={translator}" in plan.notes[-1]


def test_amazon_may_translate_what_another_engine_recognises() -> None:
    plan = planned(MINE, TRANSLATOR="amazon")

    assert plan.own_account
    assert plan.settings == {"TRANSLATOR": "amazon", "TRANSLATE_REGION": "eu-central-1"}
    assert "bills that account by the character" in "\n".join(plan.notes)
    assert "Comprehend" not in "\n".join(plan.notes)


def test_what_detection_costs_is_printed_before_it_starts() -> None:
    plan = planned(MINE, TRANSLATOR="amazon", TRANSLATE_SOURCE="auto")

    assert "So does Amazon Comprehend for each text" in "\n".join(plan.notes)


@pytest.mark.parametrize(
    ("account", "environment", "problem"),
    [
        (NOBODY, {}, "needs AWS credentials, and there are none"),
        (AwsAccount("the environment", "r", is_emulated=True), {}, "needs AWS credentials"),
        (MINE, TRANSCRIBE | {"TRANSCRIBE_ENDPOINT": "local"}, "the service has one set of them"),
    ],
)
def test_amazon_translates_only_with_credentials_that_the_service_can_use(
    account: AwsAccount, environment: dict[str, str], problem: str
) -> None:
    with pytest.raises(LaunchError, match=problem):
        planned(account, **environment, TRANSLATOR="amazon")
