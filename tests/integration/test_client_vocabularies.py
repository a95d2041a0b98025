"""The commands `vocabulary ...` as a user runs them, against the local endpoint."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from client.errors import ExitCode
from local_cloud import ROOT
from transcribe_endpoint.recognition.script import Script
from transcribe_endpoint.streams.session import TranscribeService
from transcribe_endpoint.transports.http1 import serve_http1
from transcribe_endpoint.vocabularies.operations import VocabularyOperations
from transcribe_endpoint.vocabularies.store import Vocabularies

pytestmark = pytest.mark.integration

KEY, SECRET = "AKIDEXAMPLE", "a-secret"


@pytest_asyncio.fixture
async def shelf() -> Vocabularies:
    return Vocabularies(pending_seconds=0.2)


@pytest_asyncio.fixture
async def environment(shelf: Vocabularies, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    serving = TranscribeService(
        recogniser=Script.of_text("One."), secrets={KEY: SECRET}, vocabularies=shelf
    )
    async with serve_http1(serving, VocabularyOperations(shelf)) as port:
        yield {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_TRANSCRIBE": f"http://127.0.0.1:{port}",
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
            "PYTHONWARNINGS": "error",
        }


async def run(environment: Mapping[str, str], *arguments: object) -> tuple[int | None, str, str]:
    """Return the exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client", "vocabulary", *map(str, arguments)),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert "Traceback" not in err.decode()
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def names(tmp_path: Path) -> Path:
    file = tmp_path / "names.txt"
    file.write_text("Ada-Lovelace\nCloudscribe\n")
    return file


async def test_a_vocabulary_is_put_and_waited_for(
    environment: dict[str, str], names: Path, shelf: Vocabularies
) -> None:
    code, out, err = await run(environment, "put", "names", names, "--language", "en-us")

    assert code == ExitCode.OK
    assert out.startswith("names: READY, en-US")
    assert "Created the vocabulary names: 2 entries." in err
    assert "PENDING" in err
    assert shelf.vocabularies.get("names").words == {"ada-lovelace", "cloudscribe"}


async def test_what_is_there_is_replaced_and_keeps_its_language(
    environment: dict[str, str], names: Path, shelf: Vocabularies
) -> None:
    shelf.vocabularies.create("names", "de-DE", ["alt"])

    code, out, err = await run(environment, "put", "names", names, "--no-wait", "--json")

    assert code == ExitCode.OK
    assert "Replaced" in err
    assert json.loads(out) | {"modified": None} == {
        "type": "vocabulary",
        "name": "names",
        "filter": False,
        "language": "de-DE",
        "state": "PENDING",
        "modified": None,
    }


async def test_a_failure_is_shown_with_amazons_reason(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "signs.txt"
    file.write_text("C++\n")

    code, out, _ = await run(environment, "put", "signs", file, "--language", "en-US")

    assert code == ExitCode.NO_TRANSCRIPT
    assert out.startswith("signs: FAILED, en-US")
    assert "U+002B" in out
    code, out, _ = await run(environment, "status", "signs")
    assert code == ExitCode.NO_TRANSCRIPT
    assert "U+002B" in out


async def test_what_there_is_is_listed_and_deleted(
    environment: dict[str, str], shelf: Vocabularies
) -> None:
    for number in range(100):
        shelf.vocabularies.create(f"v{number}", "en-US", ["a"])
    shelf.filters.create("oaths", "en-US", ["damn"])

    _, out, _ = await run(environment, "list", "--json")
    assert [json.loads(line)["name"] for line in out.splitlines()][:2] == ["v99", "v98"]
    assert len(out.splitlines()) == 100
    _, out, _ = await run(environment, "delete", "oaths", "--filter")
    assert out == "oaths: deleted\n"
    code, _, err = await run(environment, "list", "--filter")
    assert code == ExitCode.OK
    assert err.startswith("There is no vocabulary filter. Vocabularies are named without --filter")


async def test_a_filter_is_put(
    environment: dict[str, str], tmp_path: Path, shelf: Vocabularies
) -> None:
    file = tmp_path / "oaths.txt"
    file.write_text("damn\n")
    for _ in range(2):
        code, out, _ = await run(
            environment, "put", "oaths", file, "--filter", "--language", "en-US"
        )
        assert code == ExitCode.OK
        assert out.startswith("oaths: READY, en-US")
    assert shelf.filters.get("oaths").words == {"damn"}


@pytest.mark.parametrize("options", [[], ["--filter"]])
async def test_another_language_than_the_one_it_has_is_refused(
    environment: dict[str, str], names: Path, shelf: Vocabularies, options: list[str]
) -> None:
    shelves = shelf.filters if options else shelf.vocabularies
    shelves.create("names", "en-US", ["old"])

    code, out, err = await run(environment, "put", "names", names, *options, "--language", "de-de")

    assert (code, out) == (ExitCode.USAGE, "")
    assert "names is there in en-US" in err
    assert " ".join(["vocabulary delete names", *options]) in err
    assert shelves.get("names").language_code == "en-US"
    assert shelves.get("names").words == {"old"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["put", "names", "{names}"], ExitCode.USAGE, "give its --language"),
        (["put", "names", "{names}", "--language", "xx"], ExitCode.USAGE, "xx is no language"),
        (["put", "my names", "{names}"], ExitCode.USAGE, "vocabularyName"),
        (["put", "names", "nowhere.txt"], ExitCode.USAGE, "nowhere.txt cannot be read"),
        (["put", "names", "{spaces}"], ExitCode.USAGE, "line 2: spaces are not allowed"),
        (["put", "names", "{table}", "--language", "en-US"], ExitCode.USAGE, "give --bucket"),
        (["status", "names"], ExitCode.NO_SUCH_RECORDING, "no vocabulary names"),
        (["status", "names"], ExitCode.NO_SUCH_RECORDING, "filters are named with --filter"),
        (["delete", "oaths", "--filter"], ExitCode.NO_SUCH_RECORDING, "list --filter` shows"),
        (["delete", "names"], ExitCode.NO_SUCH_RECORDING, "vocabulary list"),
        (["status", "oaths", "--filter"], ExitCode.NO_SUCH_RECORDING, "vocabulary filter oaths"),
    ],
)
async def test_errors_come_with_advice(  # noqa: PLR0917 - fixtures
    environment: dict[str, str],
    names: Path,
    tmp_path: Path,
    shelf: Vocabularies,
    arguments: list[str],
    code: ExitCode,
    words: str,
) -> None:
    spaces, table = tmp_path / "spaces.txt", tmp_path / "table.txt"
    spaces.write_text("fine\nLos Angeles\n")
    table.write_text("Phrase\tDisplayAs\nLos-Angeles\tLos Angeles\n")
    given = [each.format(names=names, spaces=spaces, table=table) for each in arguments]

    found, out, err = await run(environment, *given)

    assert (found, out) == (code, "")
    assert words in err
    assert shelf.vocabularies.newest_first() == []


async def test_wrong_credentials_are_explained(environment: dict[str, str]) -> None:
    wrong = environment | {"AWS_SECRET_ACCESS_KEY": "another"}

    code, _, err = await run(wrong, "list")

    assert code == ExitCode.REFUSED
    assert "does not take the credentials" in err


async def test_nobody_there_is_explained(environment: dict[str, str]) -> None:
    nowhere = environment | {"AWS_ENDPOINT_URL_TRANSCRIBE": "http://127.0.0.1:9"}

    code, _, err = await run(nowhere, "list")

    assert code == ExitCode.NO_CONNECTION
    assert "AWS_ENDPOINT_URL" in err
