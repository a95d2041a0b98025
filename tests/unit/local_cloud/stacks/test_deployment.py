"""When the stacks are deployed into the emulator, and how a deployment is undone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_cloud.emulator.program import lock
from local_cloud.stacks.deployment import Deployment, DeploymentFailed, StackOutputs
from local_cloud.stacks.templates import fingerprint_stacks

pytestmark = pytest.mark.unit


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with everything that counts, and with things that do not."""
    root = tmp_path / "tree"
    for name in (
        "app.py",
        "cdk.json",
        "build/functions/router/lambdas/router/handler.py",
        "infra/stacks.py",
        "infra/requirements.txt",
        "infra/__pycache__/stacks.cpython-311.pyc",
        "transcripts/conversations.py",
        "ecs_service/app.py",
    ):
        write(root / name, name)
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def silent(_: str) -> None:
    """Print nothing."""


@pytest.mark.parametrize(
    "name",
    [
        "app.py",
        "cdk.json",
        "cdk.context.json",
        "build/functions/router/lambdas/router/handler.py",
        "build/functions/combiner/lambdas/combiner/handler.py",
        "infra/stacks.py",
        "infra/requirements.txt",
        "transcripts/conversations.py",
    ],
)
def test_a_change_of_what_the_stacks_are_made_from_is_noticed(tree: Path, name: str) -> None:
    before = fingerprint_stacks(tree)
    write(tree / name, "changed")
    assert fingerprint_stacks(tree) != before


@pytest.mark.parametrize(
    "name",
    [
        "infra/__pycache__/stacks.cpython-311.pyc",
        "ecs_service/app.py",
    ],
)
def test_a_change_of_anything_else_is_not(tree: Path, name: str) -> None:
    before = fingerprint_stacks(tree)
    write(tree / name, "changed")
    assert fingerprint_stacks(tree) == before


OUTPUTS = {
    "cloudscribe-local-data": {
        "UtterancesQueueUrl": "http://localhost:4566/0/utterances",
        "UtterancesDeadLettersUrl": "http://localhost:4566/0/utterances-dead",
        "ConversationsTableName": "conversations",
        "StreamsTableName": "streams",
        "RecordingsBucketName": "recordings",
        "JobsQueueUrl": "http://localhost:4566/0/jobs",
        "JobsDeadLettersUrl": "http://localhost:4566/0/jobs-dead",
    },
    "cloudscribe-local-functions": {"UndeliveredQueueUrl": "http://localhost:4566/0/undelivered"},
}


def test_resources_are_found_in_the_outputs_of_any_stack() -> None:
    resources = StackOutputs.parse(OUTPUTS)

    assert resources.table_name == "conversations"
    assert resources.streams_table == "streams"
    assert resources.undelivered_queue_url == "http://localhost:4566/0/undelivered"


def test_an_output_that_no_stack_has_is_named() -> None:
    with pytest.raises(DeploymentFailed, match="UndeliveredQueueUrl"):
        StackOutputs.parse({"cloudscribe-local-data": OUTPUTS["cloudscribe-local-data"]})


def test_outputs_that_cannot_be_read_are_made_anew(data: Path, tree: Path) -> None:
    (data / "cdk" / "outputs.json").write_text("{")
    deployment = Deployment(data, root=tree)

    with pytest.raises(DeploymentFailed, match="deploys anew"):
        deployment.resources()

    assert deployment.prepare(silent)


@pytest.fixture
def data(tmp_path: Path, tree: Path) -> Path:
    """The data of an emulator into which the tree is deployed."""
    folder = tmp_path / "data"
    # As the emulator writes it: a bucket is named by its account and its name in quotes.
    state: object = {"buckets_meta": {"data": {f"000000000000\0{'recordings'!r}": {}}}}
    write(folder / "services" / "s3.json", json.dumps({"payload": state}))
    write(folder / "services" / "dynamodb.json", "before")
    write(folder / "s3" / "000000000000" / "recordings" / "a.wav", "sound")
    write(folder / "cdk" / "outputs.json", "{}")
    write(folder / "cdk" / "stamp", fingerprint_stacks(tree))
    return folder


def test_an_unchanged_tree_is_not_due_and_its_data_are_left_alone(data: Path, tree: Path) -> None:
    assert not Deployment(data, root=tree).prepare(silent)
    assert not (data / "services.before").exists()


def test_a_changed_tree_is_due_and_the_state_is_put_by(data: Path, tree: Path) -> None:
    write(tree / "app.py", "changed")

    assert Deployment(data, root=tree).prepare(silent)
    assert (data / "services.before" / "dynamodb.json").read_text() == "before"


def test_a_deployment_that_did_not_end_is_undone_and_due_again(data: Path, tree: Path) -> None:
    write(tree / "app.py", "changed")
    Deployment(data, root=tree).prepare(silent)
    write(data / "services" / "dynamodb.json", "half done")
    write(data / "services" / "lambda.json", "half done")
    write(data / "s3" / "000000000000" / "made-meanwhile" / "code.zip", "code")
    printed: list[str] = []

    assert Deployment(data, root=tree).prepare(printed.append)

    assert "not finished" in printed[0]
    assert (data / "services" / "dynamodb.json").read_text() == "before"
    assert not (data / "services" / "lambda.json").exists()
    assert (data / "s3" / "000000000000" / "recordings" / "a.wav").exists()
    assert not (data / "s3" / "000000000000" / "made-meanwhile").exists()
    assert (data / "services.before").exists(), "for the one that begins now"


def test_a_deployment_that_did_not_end_is_due_even_if_the_change_was_taken_back(
    data: Path, tree: Path
) -> None:
    write(tree / "app.py", "changed")
    Deployment(data, root=tree).prepare(silent)
    write(tree / "app.py", "app.py")

    assert Deployment(data, root=tree).prepare(silent)


def test_the_first_deployment_of_all_is_undone_to_nothing(tmp_path: Path, tree: Path) -> None:
    data = tmp_path / "data"
    Deployment(data, root=tree).prepare(silent)
    write(data / "services" / "lambda.json", "half done")
    write(data / "s3" / "000000000000" / "cdk-assets" / "code.zip", "code")

    assert Deployment(data, root=tree).prepare(silent)

    assert list((data / "services").iterdir()) == []
    assert list(data.glob("s3/*/*")) == []


def test_data_that_an_emulator_uses_are_not_touched(data: Path, tree: Path) -> None:
    write(tree / "app.py", "changed")
    with lock(data), pytest.raises(DeploymentFailed, match="another emulator"):
        Deployment(data, root=tree).prepare(silent)
    assert not (data / "services.before").exists()
