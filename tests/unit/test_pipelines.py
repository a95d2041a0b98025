"""The pipelines' files: well-formed, and unable to deploy what they should not.

Neither GitHub nor Azure DevOps can be reached here, so these tests read the files.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml  # type: ignore[import-untyped]  # comes with cfn-lint, without its types
from botocore import xform_name

from scripts import own_values

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
TEMPLATES = sorted((ROOT / "pipelines/azure").glob("*.yml"))
AZURE = [ROOT / "azure-pipelines.yml", *TEMPLATES]
EXAMPLES = ROOT / "pipelines/examples"
DEPENDABOT = ROOT / ".github/dependabot.yml"
ISSUE_FORMS = ROOT / ".github/ISSUE_TEMPLATE"
REUSABLE = "./.github/workflows/"
IMAGE = "registry.example.org/words@sha256:" + "a" * 64


def read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    return content


def workflow(name: str) -> dict[str, Any]:
    return read(ROOT / ".github/workflows" / f"{name}.yml")


def triggers(content: dict[Any, Any]) -> set[str]:
    found = content[True]  # YAML 1.1 reads the key `on` as a truth value
    return {found} if isinstance(found, str) else set(found)


def inputs_of(content: dict[Any, Any]) -> dict[str, Any]:
    """Return the inputs of a reusable workflow."""
    inputs: dict[str, Any] = content[True]["workflow_call"]["inputs"]
    return inputs


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield path.name, name, job


def nodes(value: object) -> Iterator[dict[str, Any]]:
    """Yield every mapping in a document, whatever conditions it stands under."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from nodes(each)


def azure_nodes() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in AZURE:
        for node in nodes(read(path)):
            yield path.name, node


# --- well-formed ---------------------------------------------------------------------------


def check(schema: str, files: list[Path], *options: str) -> None:
    call = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run(
        [*call, *options, *map(str, files)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_github_understands_workflows_and_actions() -> None:
    check("github-workflows", [*WORKFLOWS, EXAMPLES / "github-main.yml"])
    check("github-actions", ACTIONS)
    check("dependabot", [DEPENDABOT])
    check("github-issue-config", [ISSUE_FORMS / "config.yml"])
    check("github-issue-forms", [ISSUE_FORMS / "bug.yml", ISSUE_FORMS / "feature.yml"])


def as_azure_reads_it(value: object) -> object:
    """Return a document with texts for all scalars, and without extensions' tasks.

    To Azure every scalar is a text, and so it is to Azure's schema; which knows the tasks that
    Azure brings itself, and no extension's.
    """
    if isinstance(value, dict):
        if value.get("task") == "AWSShellScript@1":
            value = {**value, "task": "CmdLine@2", "inputs": {"script": "true"}}
        return {key: as_azure_reads_it(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_azure_reads_it(each) for each in value]
    return value if isinstance(value, str) else json.dumps(value)


def test_azure_understands_pipeline_and_templates(tmp_path: Path) -> None:
    for number, path in enumerate([*AZURE, EXAMPLES / "azure-pipelines.yml"]):
        copy = tmp_path / f"{number}-{path.name}"
        copy.write_text(yaml.safe_dump(as_azure_reads_it(read(path))))

    # The schema has expressions of .NET, and does not know what `${{ if }}` does to a list.
    check(
        "azure-pipelines",
        list(tmp_path.iterdir()),
        "--data-transform=azure-pipelines",
        "--regex-variant=nonunicode",
    )


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    files = [*WORKFLOWS, *ACTIONS, *AZURE]

    called = {
        name
        for f in files
        for name in re.findall(r"\bmake (?:-o build )?([a-z]+)\b", f.read_text())
    }

    assert {"test", "build", "synth", "diff", "deploy"} <= called
    assert called <= targets


def test_every_script_and_template_exists() -> None:
    for path in [*WORKFLOWS, *ACTIONS, *AZURE]:
        text = path.read_text()
        for name in re.findall(r"python3 -m (scripts\.\w+)", text):
            assert (ROOT / f"{name.replace('.', '/')}.py").is_file()
        for name in re.findall(r"\bsh (scripts/[\w.-]+)", text):
            assert (ROOT / name).is_file()
    for path in AZURE:
        for node in nodes(read(path)):
            if "template" in node:
                assert (path.parent / node["template"]).is_file()


# --- what runs, and for how long ---------------------------------------------------------------


def test_every_job_ends_some_time() -> None:
    for path, name, job in jobs():
        assert "uses" in job or job["timeout-minutes"] <= 90, (path, name)
    for path, node in azure_nodes():
        if "job" in node or "deployment" in node:
            assert int(node["timeoutInMinutes"]) <= 90, path


def test_actions_of_others_are_pinned_to_a_commit() -> None:
    for path in [*WORKFLOWS, *ACTIONS]:
        for node in nodes(read(path)):
            used = node.get("uses", "./")
            assert used.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), path


@pytest.mark.parametrize(
    ("ecosystem", "pattern"),
    [("pip", "*requirements*.txt"), ("npm", "package-lock.json"), ("docker", "Dockerfile")],
)
def test_dependabot_watches_every_locked_file_and_waits_a_week(
    ecosystem: str, pattern: str
) -> None:
    (update,) = [
        each
        for each in read(DEPENDABOT)["updates"]
        if each["package-ecosystem"] == ecosystem and each["cooldown"]["default-days"] >= 7
    ]
    folders = [ROOT, *ROOT.glob("[a-z]*/"), *ROOT.glob("tests/*/"), *ROOT.glob("benchmarks/*/")]
    locked = {folder for folder in folders if any(folder.glob(pattern))}

    assert {(ROOT / name.strip("/")) for name in update["directories"]} == locked


def test_every_hook_before_a_commit_is_a_locked_tool_or_pinned_to_a_commit() -> None:
    for repository in read(ROOT / ".pre-commit-config.yaml")["repos"]:
        assert repository["repo"] == "local" or re.fullmatch(r"[0-9a-f]{40}", repository["rev"])


def test_packages_and_image_layers_are_cached() -> None:
    set_up = json.dumps(read(ROOT / ".github/actions/set-up/action.yml"))
    azure = json.dumps(read(ROOT / "pipelines/azure/set-up.yml"))

    for text in (set_up, azure):
        assert "npm" in text
        assert "uv" in text
    assert "type=gha" in json.dumps(workflow("image"))
    assert "type=local,dest=$LAYERS" in (ROOT / "pipelines/azure/image.yml").read_text()


def test_runs_of_one_pull_request_replace_each_other_and_deployments_never_do() -> None:
    assert workflow("pull-request")["concurrency"]["cancel-in-progress"] is True
    # A lock on the whole run would be held while prod waits for its approval.
    assert "concurrency" not in workflow("main")
    deploy = workflow("deploy")["jobs"]["deploy"]
    assert deploy["concurrency"]["cancel-in-progress"] is False
    assert "inputs.environment" in deploy["concurrency"]["group"]


def test_a_pull_request_is_tested_synthesised_and_compared_with_demo() -> None:
    called = workflow("pull-request")["jobs"]

    assert called["test"]["uses"] == f"{REUSABLE}test.yml"
    assert called["assembly"]["uses"] == f"{REUSABLE}assembly.yml"
    assert "GITHUB_STEP_SUMMARY" in json.dumps(called["diff"])
    synth = json.dumps(workflow("assembly"))
    assert "for env in local demo prod" in synth


# --- promotion ----------------------------------------------------------------------------------


def test_prod_gets_what_demo_has_and_only_after_it() -> None:
    main = workflow("main")["jobs"]

    assert set(main["demo"]["needs"]) == {"test", "assembly"}
    assert main["prod"]["needs"] == "demo"
    for name in ("demo", "prod"):
        assert main[name]["uses"] == f"{REUSABLE}deploy.yml"
        assert main[name]["with"] == {"environment": name}
    assert main["assembly"]["needs"] == "image"
    assert main["assembly"]["with"]["image"] == "${{ needs.image.outputs.image }}"


def test_a_deployment_builds_nothing() -> None:
    deploy = workflow("deploy")["jobs"]["deploy"]
    text = json.dumps(deploy)

    assert any(step.get("uses") == "./.github/actions/assembly" for step in deploy["steps"])
    (step,) = [step for step in deploy["steps"] if "deploy ENV" in step.get("run", "")]
    assert step["env"]["CDK_APP"] == "build/assembly/${{ inputs.environment }}"
    assert "make build" not in text
    assert "make synth" not in text
    fetch = read(ROOT / ".github/actions/assembly/action.yml")["runs"]["steps"]
    assert any(step.get("with", {}).get("name") == "assembly" for step in fetch)


@pytest.mark.parametrize("target", ["deploy", "diff"])
def test_make_hands_over_an_assembly_without_building(target: str) -> None:
    files = [*WORKFLOWS, *AZURE]
    (call,) = {c for f in files for c in re.findall(rf"make [^\n]*?\b{target}\b", f.read_text())}

    planned = subprocess.run(
        [*call.split(), "--dry-run", "ENV=demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert f" {target}" in planned
    assert ".venv/.runtime" not in planned


@pytest.mark.parametrize("target", ["deploy", "diff"])
@pytest.mark.parametrize("assembly", ["", "build/assembly/demo"])
def test_make_looks_for_credentials_first_but_not_in_a_pipeline(target: str, assembly: str) -> None:
    planned = subprocess.run(
        ["make", "-o", "build", target, "--dry-run", f"CDK_APP={assembly}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    looks = "infra.commands.account --signed-in" in planned
    assert looks is not bool(assembly)
    if looks:
        assert planned.index("infra.commands.account") < planned.index("node_modules/.bin/cdk")


def test_credentials_come_after_everything_that_installs() -> None:
    for name, job in (("deploy", "deploy"), ("pull-request", "diff")):
        steps = [json.dumps(step) for step in workflow(name)["jobs"][job]["steps"]]
        signed_in = next(i for i, step in enumerate(steps) if "configure-aws" in step)

        assert "actions/assembly" in "".join(steps[:signed_in])
        assert not re.search(r"npm|pip|uv ", "".join(steps[signed_in:]))


def test_a_deployment_is_looked_at() -> None:
    steps = workflow("deploy")["jobs"]["deploy"]["steps"]

    assert "scripts.smoke" in steps[-1]["run"]
    assert "scripts.smoke" in (ROOT / "pipelines/azure/deploy.yml").read_text()


def test_what_the_look_runs_on_is_installed_from_the_lock() -> None:
    for path in (".github/workflows/deploy.yml", "pipelines/azure/deploy.yml"):
        text = (ROOT / path).read_text()
        assert "--require-hashes --requirement client/requirements.txt" in " ".join(text.split())


def test_a_roll_back_takes_only_what_main_had_built() -> None:
    steps = read(ROOT / ".github/actions/assembly/action.yml")["runs"]["steps"]
    names = [step.get("name", "") for step in steps]
    (check_run,) = [step for step in steps if "main.yml main" in step.get("run", "")]

    assert check_run["if"] == "inputs.run-id != ''"
    assert names.index(check_run["name"]) < names.index("Unpack")
    assert workflow("rollback")["jobs"]["deploy"]["if"] == "github.ref == 'refs/heads/main'"


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (".github/workflows/main.yml main owner/words push", 0),
        (".github/workflows/main.yml main owner/words workflow_dispatch", 0),
        (".github/workflows/main.yml main owner/words pull_request", 1),
        (".github/workflows/main.yml main fork/words push", 1),
        (".github/workflows/main.yml try owner/words workflow_dispatch", 1),
        (".github/workflows/pull-request.yml main owner/words push", 1),
        ("", 1),
    ],
)
def test_a_run_that_a_fork_could_have_made_is_not_returned_to(
    run: str, status: int, tmp_path: Path
) -> None:
    steps = read(ROOT / ".github/actions/assembly/action.yml")["runs"]["steps"]
    (script,) = [step["run"] for step in steps if "gh api" in step.get("run", "")]
    github = tmp_path / "gh"
    github.write_text(f"#!/bin/sh\necho '{run}'\n")
    github.chmod(0o755)

    done = subprocess.run(
        ["bash", "-e", "-c", script],
        env={"PATH": f"{tmp_path}:{os.defpath}", "GITHUB_REPOSITORY": "owner/words", "RUN": "1"},
        capture_output=True,
        check=False,
    )

    assert done.returncode == status


def test_azure_promotes_the_artifact_of_the_run_from_demo_to_prod() -> None:
    main = "${{ if eq(variables['Build.SourceBranch'], 'refs/heads/main') }}"
    (conditional,) = [
        each[main] for each in read(ROOT / "azure-pipelines.yml")["stages"] if main in each
    ]
    demo, keep, prod, _gpu_image = conditional

    assert demo["dependsOn"] == ["Test", "Build"]
    assert keep["dependsOn"] == "Demo"
    assert prod["dependsOn"] == keep["stage"]
    for stage, name in ((demo, "demo"), (prod, "prod")):
        (job,) = stage["jobs"]
        assert job["template"] == "pipelines/azure/deploy.yml"
        assert job["parameters"] == {"environment": name, "connection": f"cloudscribe-{name}"}
    deploy = (ROOT / "pipelines/azure/deploy.yml").read_text()
    assert "template: fetch-assembly.yml" in deploy
    assert "CDK_APP: build/assembly/${{ parameters.environment }}" in deploy


# --- from another repository ---------------------------------------------------------------------


def test_the_examples_give_reusable_workflows_what_these_take() -> None:
    called = read(EXAMPLES / "github-main.yml")["jobs"]
    deployed = read(EXAMPLES / "azure-pipelines.yml")["stages"]

    for job in called.values():
        name, commit = re.fullmatch(r"OWNER/cloudscribe/(.+)@(\w{40})", job["uses"]).groups()  # type: ignore[union-attr]  # else the test fails
        inputs = inputs_of(read(ROOT / name))
        assert set(job["with"]) <= set(inputs)
        assert {key for key, each in inputs.items() if each.get("required")} <= set(job["with"])
        assert job["with"]["repository"] == "OWNER/cloudscribe"
        assert job["with"]["ref"] == commit
    for stage in deployed:
        for job in stage["jobs"]:
            template = read(ROOT / job["template"].removesuffix("@cloudscribe"))
            assert job["parameters"]["source"] == "cloudscribe"
            assert set(job["parameters"]) <= {each["name"] for each in template["parameters"]}


def test_every_job_takes_the_tree_from_the_repository_that_it_is_given() -> None:
    """A called workflow or template would check out its caller's repository."""
    for path in WORKFLOWS:
        if "workflow_call" not in triggers(read(path)):
            continue
        for node in nodes(read(path)["jobs"]):
            if str(node.get("uses")).startswith("actions/checkout@"):
                assert "inputs.repository" in node["with"]["repository"], path
                assert "inputs.ref" in node["with"]["ref"], path
            elif str(node.get("uses")).startswith(REUSABLE):
                assert {"repository", "ref"} <= set(node["with"]), path
    for path in TEMPLATES:
        for node in nodes(read(path)):
            if "checkout" in node:
                assert node["checkout"] == "${{ parameters.source }}", path
            elif "template" in node:
                assert node["parameters"]["source"] == "${{ parameters.source }}", path


# --- the image that runs is kept -----------------------------------------------------------------


def test_an_image_is_marked_before_it_is_deployed_and_once_it_runs() -> None:
    deploy = workflow("deploy")["jobs"]
    azure = {
        each.get("job", each.get("deployment")): each
        for each in read(ROOT / "pipelines/azure/deploy.yml")["jobs"]
    }

    assert deploy["deploy"]["needs"] == "keep"
    assert deploy["kept"]["needs"] == "deploy"
    assert [deploy[name]["with"]["state"] for name in ("keep", "kept")] == ["deploying", "running"]
    # Such a job would wait for an approval, and have the token of the deploying role.
    assert "environment" not in workflow("keep-image")["jobs"]["keep"]
    assert azure["deploy"]["dependsOn"] == "keep"
    assert azure["kept"]["dependsOn"] == "deploy"
    states = [azure[name]["steps"][0]["parameters"]["state"] for name in ("keep", "kept")]
    assert states == ["deploying", "running"]


def test_an_image_that_waits_for_azures_approval_is_marked_in_a_stage_without_one() -> None:
    """All checks of a stage come before the first of its jobs."""
    (stage,) = [
        each
        for each in nodes(read(ROOT / "azure-pipelines.yml"))
        if each.get("stage") == "KeepForProd"
    ]

    (job,) = stage["jobs"]
    assert "environment" not in job
    (step,) = job["steps"]
    assert step["template"] == "pipelines/azure/keep-image.yml"
    assert step["parameters"] == {"environment": "prod", "state": "deploying"}


def test_an_image_that_runs_is_marked_although_the_smoke_check_failed() -> None:
    deploy = workflow("deploy")["jobs"]
    steps = deploy["deploy"]["steps"]
    (id_,) = [step["id"] for step in steps if "deploy ENV" in step.get("run", "")]
    (azure,) = [
        each for each in read(ROOT / "pipelines/azure/deploy.yml")["jobs"] if "deployment" in each
    ]
    names = [each.get("name") for each in azure["strategy"]["runOnce"]["deploy"]["steps"]]
    text = (ROOT / "pipelines/azure/deploy.yml").read_text()

    assert deploy["deploy"]["outputs"] == {"deployed": f"${{{{ steps.{id_}.outcome }}}}"}
    assert "needs.deploy.outputs.deployed == 'success'" in deploy["kept"]["if"]
    assert "!cancelled()" in deploy["kept"]["if"]  # else the failure of `deploy` is enough to skip
    assert names.index("deployed") == len(names) - 2  # after the deployment, before the check
    assert "outputs['deploy.deployed.value'], 'yes'" in text


class Registry:
    """A stand-in for `aws ecr`: the digests and marks of one repository, as files."""

    REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/words"
    AWS = """#!/bin/sh
set -eu
echo "$*" >> "$STATE/calls"
while [ $# -gt 0 ]; do
    case $1 in
        describe-images|batch-get-image|put-image) verb=$1 ;;
        --image-ids) id=${2#*=} ;;
        --image-tag) tag=$2 ;;
        --image-manifest) test "$2" = "the manifest" ;;
        --image-digest) digest=$2 ;;
    esac
    shift
done
case $verb in
    describe-images) if [ -e "$STATE/$id" ]; then cat "$STATE/$id"; else echo None; exit 254; fi ;;
    batch-get-image) test -e "$STATE/$id" && echo "the manifest" ;;
    put-image) echo "$digest" > "$STATE/$tag" ;;
esac
"""

    def __init__(self, folder: Path) -> None:
        self.state, self.programs = folder / "state", folder / "bin"
        self.assembly = folder / "assembly"
        for each in (self.state, self.programs, self.assembly):
            each.mkdir()
        (self.programs / "aws").write_text(self.AWS)
        (self.programs / "aws").chmod(0o755)

    def push(self, letter: str) -> str:
        digest = f"sha256:{letter * 64}"
        (self.state / digest).write_text(f"{digest}\n")
        return digest

    def synthesise(self, *digests: str) -> None:
        parts = [f"/words@{each}" for each in digests]
        self.template("prod").write_text(json.dumps(parts))

    def template(self, environment: str) -> Path:
        return self.assembly / f"cloudscribe-{environment}-live.template.json"

    def keep(self, state: str) -> subprocess.CompletedProcess[str]:
        script = ROOT / "scripts/keep-image.sh"
        return subprocess.run(
            ["sh", script, self.assembly, self.REPOSITORY, "prod", state],
            env={"PATH": f"{self.programs}:{os.defpath}", "STATE": str(self.state)},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def marks(self) -> dict[str, str]:
        return {
            path.name.removeprefix("kept-prod-"): path.read_text().strip()
            for path in self.state.glob("kept-prod-*")
        }


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def test_what_runs_and_what_ran_before_stay_marked_through_deployments(registry: Registry) -> None:
    first, second, third = (registry.push(letter) for letter in "abc")

    registry.synthesise(first)
    for state in ("deploying", "running", "running"):
        assert registry.keep(state).returncode == 0
    assert registry.marks == {"deploying": first, "running": first}

    registry.synthesise(second)  # which fails, so what runs is what ran before
    assert registry.keep("deploying").returncode == 0
    assert registry.marks == {"deploying": second, "running": first}

    registry.synthesise(third)
    for state in ("deploying", "running"):
        assert registry.keep(state).returncode == 0
    assert registry.marks == {"deploying": third, "running": third, "previous": first}

    assert "--region eu-west-1 --repository-name words " in (registry.state / "calls").read_text()


def test_amazons_registry_knows_what_the_script_asks_for() -> None:
    script = (ROOT / "scripts/keep-image.sh").read_text()
    model = botocore.session.get_session().get_service_model("ecr")
    calls = re.findall(r"aws ecr ([a-z-]+)((?:[^\n]*\\\n)*[^\n]*)", script)

    assert {verb for verb, _ in calls} == {"describe-images", "batch-get-image", "put-image"}
    for verb, rest in calls:
        operation = model.operation_model("".join(part.title() for part in verb.split("-")))
        options = set(re.findall(r" --([a-z-]+)", rest)) - {"region", "query", "output"}
        assert operation.input_shape is not None
        known = {xform_name(member, "-") for member in operation.input_shape.members}
        assert options <= known, verb


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the tree is no clone")
def test_the_gpu_servers_image_is_found_by_its_sources_and_options(registry: Registry) -> None:
    def look(options: str) -> dict[str, str]:
        done = subprocess.run(
            ["sh", "scripts/find-gpu-image.sh", registry.REPOSITORY, options],
            cwd=ROOT,
            env={"PATH": f"{registry.programs}:{os.defpath}", "STATE": str(registry.state)},
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    tag, other = look("")["tag"], look("--build-arg MODEL=small")["tag"]
    assert tag != other
    assert look("")["image"] == ""
    digest = registry.push("a")
    (registry.state / tag).write_text(digest)
    assert look("") == {"tag": tag, "image": f"{registry.REPOSITORY}@{digest}"}
    assert look("--build-arg MODEL=small")["image"] == ""


def test_an_image_that_is_gone_is_not_deployed(registry: Registry) -> None:
    registry.synthesise("sha256:" + "d" * 64)

    done = registry.keep("deploying")

    assert done.returncode == 1
    assert "cannot be deployed" in done.stderr
    assert registry.marks == {}


def test_an_environment_without_an_image_of_the_repository_has_nothing_to_keep(
    registry: Registry,
) -> None:
    registry.synthesise()

    assert registry.keep("running").returncode == 0
    assert not (registry.state / "calls").exists()


def test_two_images_of_one_repository_are_not_guessed_between(registry: Registry) -> None:
    registry.synthesise(registry.push("a"), registry.push("b"))

    assert registry.keep("deploying").returncode == 1
    assert registry.marks == {}


def test_what_other_environments_run_is_not_mixed_up_with_it(registry: Registry) -> None:
    mine, other = (registry.push(letter) for letter in "ab")
    registry.synthesise(mine)
    registry.template("demo").write_text(f'"/words@{other}"')

    assert registry.keep("running").returncode == 0
    assert registry.marks == {"running": mine}


def test_a_folder_without_the_environment_is_no_environment_without_an_image(
    registry: Registry,
) -> None:
    registry.template("demo").write_text("{}")

    done = registry.keep("deploying")

    assert done.returncode == 1
    assert "holds no templates of prod" in done.stderr


# --- who may what ---------------------------------------------------------------------------------


def test_a_pull_request_never_gets_the_deploying_role() -> None:
    for path in WORKFLOWS:
        if "pull_request" not in triggers(read(path)):
            continue
        text = path.read_text()
        assert "deploy.yml" not in text
        assert "AWS_DEPLOY_ROLE" not in text
        assert "AWS_PUBLISH_ROLE" not in text
        for job in read(path)["jobs"].values():
            assert "environment" not in job
            assert job.get("with", {}).get("publish") is not True
    assert not any("pull_request_target" in triggers(read(path)) for path in WORKFLOWS)


def test_azure_deploys_and_publishes_from_main_only() -> None:
    for node in nodes(read(ROOT / "azure-pipelines.yml")["stages"]):
        for job in node.get("jobs", []):
            if job.get("template", "").endswith("azure/image.yml"):
                assert "refs/heads/main" in job["parameters"]["publish"]
    text = (ROOT / "azure-pipelines.yml").read_text()
    before, after = text.split("${{ if eq(variables['Build.SourceBranch'], 'refs/heads/main') }}")
    assert "deploy.yml" not in before
    assert after.count("deploy.yml") == 2


def test_tokens_are_given_only_to_jobs_that_sign_in() -> None:
    for path in WORKFLOWS:
        content = read(path)
        if path.name != "image.yml":  # has those of its caller
            assert content["permissions"] == {"contents": "read"}, path
    allowed = {
        (path, name) for path, name, job in jobs() if "id-token" in job.get("permissions", {})
    }
    assert allowed == {
        ("deploy.yml", "deploy"),
        ("deploy.yml", "keep"),
        ("deploy.yml", "kept"),
        ("gpu-image.yml", "build"),
        ("gpu-image.yml", "look"),
        ("keep-image.yml", "keep"),
        ("main.yml", "demo"),
        ("main.yml", "gpu-image"),
        ("main.yml", "image"),
        ("main.yml", "prod"),
        ("pull-request.yml", "diff"),
        ("rollback.yml", "deploy"),
    }


def test_no_deployment_waits_for_the_gpu_servers_image() -> None:
    azure = [each for each in azure_nodes() if each[1].get("stage") == "GpuImage"]

    assert all("gpu-image" not in str(job.get("needs")) for _, _, job in jobs())
    assert len(azure) == 1
    assert "GpuImage" not in str([node.get("dependsOn") for _, node in azure_nodes()])
    for name in (".github/workflows/gpu-image.yml", "pipelines/azure/gpu-image.yml"):
        text = (ROOT / name).read_text()
        assert "UNVERIFIED" in text
        assert text.index("find-gpu-image.sh") < text.index("make images") < text.index("try-image")
        assert text.index("try-image") < text.index("push-image.sh")


def test_no_file_holds_or_asks_for_a_secret() -> None:
    for path in [*WORKFLOWS, *ACTIONS, *AZURE]:
        text = path.read_text()
        assert "secrets." not in text
        assert "AWS_SECRET_ACCESS_KEY" not in text
        assert not re.search(r"\bset -x\b", text)


# --- the scripts ----------------------------------------------------------------------------------


def test_one_image_goes_into_every_environment_beside_own_values() -> None:
    own = '{"demo": {"live": {"service": {"cpu": 512}}}}'

    values = own_values.context(own, IMAGE, ["demo", "prod"])

    assert values["demo"]["live"]["service"] == {"cpu": 512, "image": IMAGE}
    assert values["prod"]["live"]["service"] == {"image": IMAGE}


@pytest.mark.parametrize(
    ("own", "image"),
    [("{", IMAGE), ("[]", IMAGE), ("{}", "registry.example.org/words:latest")],
)
def test_values_that_cannot_be_used_are_refused_without_showing_them(own: str, image: str) -> None:
    with pytest.raises(own_values.WrongValues) as refused:
        own_values.context(own, image, ["demo"])

    assert "latest" not in str(refused.value)


def test_without_an_image_own_values_stay_as_they_are() -> None:
    assert own_values.context('{"demo": {"a": 1}}', "", ["demo"]) == {"demo": {"a": 1}}
