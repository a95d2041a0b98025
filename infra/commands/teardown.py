"""`make destroy ENV=demo`: empty the bucket of recordings before its stack is deleted.

CloudFormation cannot delete a bucket that has objects, so the deletion of the stack would fail half
way. Environments with protected data keep the bucket, and this command does nothing for them.

Exit codes: 0 empty or kept, 1 not emptied, 2 wrong call, 7 the output cannot be written,
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from foundation import program

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3ServiceResource

ROOT = Path(__file__).resolve().parents[2]

#: Outputs of the data stack; see `infra.recordings.store` and `infra.stacks`.
BUCKET_OUTPUT = "RecordingsBucketName"
PROTECTED_OUTPUT = "DataProtected"


def region_of(assembly: Path, environment: str) -> str:
    """Return the region that an environment was synthesised for.

    Raises:
        OSError: there is no assembly.
        KeyError: the environment is not in it.
    """
    manifest = json.loads((assembly / "manifest.json").read_text())
    place: str = manifest["artifacts"][f"cloudscribe-{environment}-data"]["environment"]
    return place.rpartition("/")[2]  # aws://ACCOUNT/REGION


def bucket_to_empty(cloudformation: CloudFormationClient, environment: str) -> str | None:
    """Return the name of the environment's bucket, or None where there is nothing to empty.

    Raises:
        ClientError: AWS refused.
    """
    try:
        answer = cloudformation.describe_stacks(StackName=f"cloudscribe-{environment}-data")
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    outputs = {
        output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0]["Outputs"]
    }
    return None if outputs[PROTECTED_OUTPUT] == "true" else outputs[BUCKET_OUTPUT]


def empty(s3: S3ServiceResource, bucket: str) -> int:
    """Delete every object of a bucket, versions included; return how many there were.

    Raises:
        ClientError: AWS refused, or refused some of them.
    """
    answers = s3.Bucket(bucket).object_versions.delete()
    for error in (each for answer in answers for each in answer.get("Errors", [])):
        raise ClientError(
            {"Error": {"Code": error["Code"], "Message": error["Message"]}}, "DeleteObjects"
        )
    return sum(len(answer["Deleted"]) for answer in answers)


def main(arguments: list[str] | None = None, ask: Callable[[str], str] = input) -> int:
    """Empty an environment's bucket after asking; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.commands.teardown", description=__doc__)
    parser.add_argument("environment", help="e.g. demo")
    parser.add_argument(
        "--assembly", type=Path, default=ROOT / "build" / "cdk.out", help="what `cdk synth` wrote"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    try:
        region = region_of(options.assembly, options.environment)
        session = boto3.Session(region_name=region)
        bucket = bucket_to_empty(session.client("cloudformation"), options.environment)
        if bucket is None:
            program.show("There is no bucket to empty.")
            return 0
        question = f"Delete every recording and transcript in {bucket}? [y/N] "
        if not options.yes and ask(question).strip().lower() not in {"y", "yes"}:
            program.show("Nothing was deleted.")
            return 1
        program.show(f"{empty(session.resource('s3'), bucket)} objects were deleted from {bucket}.")
    except (OSError, KeyError) as error:
        program.note(f"No templates of {options.environment} there ({error}); `make synth`")
        return 2
    except (BotoCoreError, ClientError) as error:
        program.note(f"The bucket was not emptied: {error}")
        return 1
    return 0


if __name__ == "__main__":
    program.end(main)
