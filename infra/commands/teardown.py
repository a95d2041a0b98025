"""`make destroy ENV=demo`: delete what CloudFormation cannot, before the stacks are deleted.

CloudFormation cannot delete a bucket that has objects, so the deletion of the stack would fail half
way. It does not know the parameters with the private keys of tickets, which the API's function
makes, nor the one with the smoke check's API key, which a person stores. Environments with
protected data keep all of it, and this command does nothing for them.

Exit codes: 0 deleted or kept, 1 not deleted, 2 wrong call, 7 the output cannot be written,
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from foundation import program

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3ServiceResource
    from mypy_boto3_ssm import SSMClient

ROOT = Path(__file__).resolve().parents[2]

#: Outputs of the data stack; see `infra.recordings.store`, `infra.access.store` and `infra.stacks`.
BUCKET_OUTPUT = "RecordingsBucketName"
TICKET_KEYS_OUTPUT = "TicketKeysPrefix"
SMOKE_KEY_OUTPUT = "SmokeKeyName"
PROTECTED_OUTPUT = "DataProtected"
#: The most parameters that SSM deletes in one call (API reference, DeleteParameters).
MOST_PARAMETERS = 10


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What CloudFormation would leave.

    Attributes:
        bucket: the name of the bucket of recordings.
        ticket_keys: the prefix of the parameters; None in an environment without accounts.
        smoke_key: the parameter with the smoke check's API key, likewise; it may not exist.
    """

    bucket: str
    ticket_keys: str | None
    smoke_key: str | None = None


def region_of(assembly: Path, environment: str) -> str:
    """Return the region that an environment was synthesised for.

    Raises:
        OSError: there is no assembly.
        KeyError: the environment is not in it.
    """
    manifest = json.loads((assembly / "manifest.json").read_text())
    place: str = manifest["artifacts"][f"cloudscribe-{environment}-data"]["environment"]
    return place.rpartition("/")[2]  # aws://ACCOUNT/REGION


def find_leftovers(cloudformation: CloudFormationClient, environment: str) -> Leftovers | None:
    """Return what has to be deleted of an environment; None if its data are kept, or are gone.

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
    if outputs[PROTECTED_OUTPUT] == "true":
        return None
    return Leftovers(
        outputs[BUCKET_OUTPUT], outputs.get(TICKET_KEYS_OUTPUT), outputs.get(SMOKE_KEY_OUTPUT)
    )


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


def delete_parameters(ssm: SSMClient, prefix: str) -> int:
    """Delete the parameters below a prefix; return how many there were.

    Raises:
        ClientError: AWS refused.
    """
    pages = ssm.get_paginator("describe_parameters").paginate(
        ParameterFilters=[{"Key": "Path", "Option": "OneLevel", "Values": [prefix]}]
    )
    names = [each["Name"] for page in pages for each in page["Parameters"]]
    for at in range(0, len(names), MOST_PARAMETERS):
        ssm.delete_parameters(Names=names[at : at + MOST_PARAMETERS])
    return len(names)


def main(arguments: list[str] | None = None, ask: Callable[[str], str] = input) -> int:
    """Delete an environment's leftovers after asking; return the exit status."""
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
        found = find_leftovers(session.client("cloudformation"), options.environment)
        if found is None:
            program.show("There is no bucket to empty.")
            return 0
        bucket = found.bucket
        question = f"Delete every recording and transcript in {bucket}? [y/N] "
        if not options.yes and ask(question).strip().lower() not in {"y", "yes"}:
            program.show("Nothing was deleted.")
            return 1
        program.show(f"{empty(session.resource('s3'), bucket)} objects were deleted from {bucket}.")
        if found.ticket_keys:
            count = delete_parameters(session.client("ssm"), found.ticket_keys)
            program.show(f"{count} keys of tickets were deleted from {found.ticket_keys}.")
        if found.smoke_key:
            # This call ignores names that do not exist.
            session.client("ssm").delete_parameters(Names=[found.smoke_key])
    except (OSError, KeyError) as error:
        program.note(f"No templates of {options.environment} there ({error}); `make synth`")
        return 2
    except (BotoCoreError, ClientError) as error:
        program.note(f"Not everything was deleted: {error}")
        return 1
    return 0


if __name__ == "__main__":
    program.end(main)
