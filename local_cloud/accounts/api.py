"""The API of accounts in the emulator: the table of rights, the function, and the HTTP API."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from access.messages import ROOT as API_ROOT
from access.store import EXPIRY, PARTITION_KEY, SORT_KEY
from local_cloud.emulator.environment import ACCOUNT, REGION
from local_cloud.errors import LaunchError
from transcripts.functions import handler_path

TABLE: Final = "cloudscribe-local-access"
FUNCTION: Final = "cloudscribe-local-api"
HTTP_API: Final = "cloudscribe-local"
#: The emulator checks no role.
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/cloudscribe-local-api"
RUNTIME: Final = "python3.13"
TIMEOUT_SECONDS: Final = 10
MEMORY_MIB: Final = 256
#: The earliest time that an archive can hold, so that the same sources are the same archive.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class HttpApi:
    """The HTTP API at the emulator."""

    api_id: str

    @property
    def path(self) -> str:
        """The path under which the emulator serves the API's own paths."""
        return f"/_aws/execute-api/{self.api_id}/$default"


def set_up_table(dynamodb: Any) -> str:
    """Return the name of the table of rights, which is made unless it is there."""
    try:
        dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[
                {"AttributeName": PARTITION_KEY, "AttributeType": "S"},
                {"AttributeName": SORT_KEY, "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": PARTITION_KEY, "KeyType": "HASH"},
                {"AttributeName": SORT_KEY, "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
    except dynamodb.exceptions.ResourceInUseException:
        return TABLE
    dynamodb.update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRY}
    )
    return TABLE


def set_up_function(
    functions: Any, sources: Path, name: str, environment: Mapping[str, str]
) -> None:
    """Make the API's function or bring it up to date.

    Args:
        functions: a client of Lambda.
        sources: the folder with its code.
        name: of its folder in `lambdas/`.
        environment: its variables.

    Raises:
        LaunchError: its code was not built.
    """
    if not sources.is_dir():
        raise LaunchError(f"The function {name} is not built. `make demo` builds it.")
    code = archive(sources)
    settings = {
        "FunctionName": FUNCTION,
        "Handler": handler_path(name),
        "Environment": {"Variables": dict(environment)},
        "MemorySize": MEMORY_MIB,
        "Timeout": TIMEOUT_SECONDS,
    }
    try:
        known = functions.get_function_configuration(FunctionName=FUNCTION)
    except functions.exceptions.ResourceNotFoundException:
        functions.create_function(Code={"ZipFile": code}, Role=ROLE, Runtime=RUNTIME, **settings)
        return
    if known["CodeSha256"] != base64.b64encode(hashlib.sha256(code).digest()).decode():
        functions.update_function_code(FunctionName=FUNCTION, ZipFile=code)
    if any(known.get(setting) != value for setting, value in settings.items()):
        functions.update_function_configuration(**settings)


def set_up_http_api(gateway: Any) -> HttpApi:
    """Return the HTTP API before the function, which is made unless it is there."""
    for known in gateway.get_apis()["Items"]:
        if known["Name"] == HTTP_API:
            return HttpApi(known["ApiId"])
    api_id = gateway.create_api(Name=HTTP_API, ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api_id,
        IntegrationType="AWS_PROXY",
        IntegrationUri=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}",
        PayloadFormatVersion="2.0",
    )
    gateway.create_route(
        ApiId=api_id,
        RouteKey=f"ANY {API_ROOT}/{{proxy+}}",
        Target=f"integrations/{integration['IntegrationId']}",
    )
    gateway.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    return HttpApi(api_id)


def find_or_make_secret(ssm: Any, name: str, fresh: str) -> str:
    """Return the value of a parameter, which is `fresh` where there was none."""
    try:
        ssm.put_parameter(Name=name, Value=fresh, Type="SecureString", Overwrite=False)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterAlreadyExists":
            raise
        value: str = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        return value
    return fresh


def archive(folder: Path) -> bytes:
    """Return a zip archive of a folder; the same files give the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            if "__pycache__" in path.parts:
                continue
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())
    return target.getvalue()
