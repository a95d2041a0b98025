"""Accounts in the templates: who signs in where, who may do what, and what strangers reach."""

from __future__ import annotations

import inspect
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from access.messages import PROGRAM_REDIRECTS, ROOT, AccountAccess
from access.store import EXPIRY, PARTITION_KEY, SORT_KEY
from infra.access.entrance import BURST, LOGGED, RATE
from infra.common import nag
from infra.config.access import CognitoConfig, OidcConfig
from infra.config.data import DataConfig
from infra.config.domain import Domain
from infra.config.environment import Environment
from infra.config.load_balancers import NoLoadBalancer
from infra.config.operations import OperationsConfig
from infra.config.recognition import TranscribeConfig
from infra.config.service import ServiceConfig
from infra.stacks import provision
from infra.web.website import ACCOUNTS_PATHS, ERRORS
from lambdas.api.people import People
from lambdas.api.recordings import UPLOAD_LASTS
from lambdas.api.recordings_bucket import RecordingsBucket
from lambdas.api.signing import TicketSigner
from tests.support import templates
from tests.support.assembly import Assembly
from tests.support.environments import environment, live
from transcripts.recordings.keys import FAILURE, beside, upload_of

pytestmark = pytest.mark.unit

EMAIL = "first@example.org"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d"
COGNITO = environment(
    name="pool",
    live=live(),
    access=CognitoConfig(administrator_email=EMAIL),
    operations=OperationsConfig(),
)
ISSUER = OidcConfig(
    issuer="https://login.example.org/tenant/v2.0",
    audience="api://captions",
    page_client_id="page",
    program_client_id="program",
    jwks_url="https://keys.example.org/keys",
    authorization_endpoint="https://login.example.org/authorize",
    token_endpoint="https://login.example.org/token",  # noqa: S106 - an address
    scopes=("openid", "api://captions/use"),
    groups_claim="roles",
    administrators="captions-admins",
    api_concurrency=7,
)
OIDC = environment(
    name="oidc",
    region="us-east-1",
    data=DataConfig(protected=True, point_in_time_recovery_days=35),
    live=live(
        load_balancer=NoLoadBalancer(),
        service=ServiceConfig(engine=TranscribeConfig(), viewers=1000),
    ),
    access=ISSUER,
)
DOMAIN = environment(
    name="domain",
    region="us-east-1",
    live=live(domain=Domain(name="captions.example.org", certificate_arn=CERTIFICATE)),
    access=ISSUER,
)
NO_ADMINISTRATOR = environment(name="nobody", live=live(), access=CognitoConfig())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The environments of this module, which cdk-nag is content with."""
    folder = tmp_path_factory.mktemp("access")
    app = templates.app(folder)
    nag.check(app)
    artifacts = templates.built(folder / "built")
    for each in (COGNITO, OIDC, DOMAIN, NO_ADMINISTRATOR):
        provision(app, each, artifacts)
    app.synth()
    return Assembly(folder / "cdk.out")


def one(made: Assembly, kind: str, of: Environment, ending: str = "") -> dict[str, Any]:
    """Return the properties of the only resource of a kind whose path ends so."""
    found = [
        resource["Properties"]
        for where, resource in made.resources(kind, of.name)
        if where[:-8].endswith(ending)
    ]
    assert len(found) == 1, (kind, ending, len(found))
    properties: dict[str, Any] = found[0]
    return properties


def variables(made: Assembly, of: Environment) -> dict[str, Any]:
    """Return the environment variables of the API's function."""
    (found,) = (
        resource["Properties"]["Environment"]["Variables"]
        for _, resource in made.resources("AWS::Lambda::Function", of.name)
        if resource["Properties"].get("Handler") == "lambdas.api.handler.handler"
    )
    return dict(found)


def statements(made: Assembly, of: Environment, role: str) -> list[dict[str, Any]]:
    """Return the statements of policies whose logical id contains `role`."""
    return [
        statement
        for where, policy in made.resources("AWS::IAM::Policy", of.name)
        if role in where
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def actions(found: list[dict[str, Any]], service: str, effect: str = "Allow") -> set[str]:
    return {
        action
        for statement in found
        if statement["Effect"] == effect
        for action in _listed(statement["Action"])
        if action.startswith(f"{service}:")
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# --- what is kept -----------------------------------------------------------------------------


@pytest.mark.parametrize("of", [COGNITO, OIDC], ids=["unprotected", "protected"])
def test_rights_are_kept_as_conversations_are(made: Assembly, of: Environment) -> None:
    table = one(made, "AWS::DynamoDB::Table", of, "AccessTable")
    conversations = one(made, "AWS::DynamoDB::Table", of, "ConversationsTable")

    assert [each["AttributeName"] for each in table["KeySchema"]] == [PARTITION_KEY, SORT_KEY]
    assert table["TimeToLiveSpecification"] == {"AttributeName": EXPIRY, "Enabled": True}
    assert table["DeletionProtectionEnabled"] is of.data.protected
    for same in ("PointInTimeRecoverySpecification", "BillingMode"):
        assert table[same] == conversations[same]
    assert "StreamSpecification" not in table


def test_an_issuer_of_ones_own_needs_no_pool(made: Assembly) -> None:
    kinds = {
        resource["Type"]
        for template in made.stacks("oidc").values()
        for resource in template["Resources"].values()
    }

    assert not {kind for kind in kinds if kind.startswith("AWS::Cognito")}


# --- signing in -------------------------------------------------------------------------------


def test_nobody_signs_up_and_the_first_administrator_is_invited(made: Assembly) -> None:
    pool = one(made, "AWS::Cognito::UserPool", COGNITO)
    person = one(made, "AWS::Cognito::UserPoolUser", COGNITO)
    group = one(made, "AWS::Cognito::UserPoolGroup", COGNITO)
    membership = one(made, "AWS::Cognito::UserPoolUserToGroupAttachment", COGNITO)

    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert pool["UserPoolTier"] == "ESSENTIALS"
    assert pool["UsernameAttributes"] == ["email"]
    assert pool["MfaConfiguration"] == "OFF"
    assert pool["AccountRecoverySetting"]["RecoveryMechanisms"] == [
        {"Name": "verified_email", "Priority": 1}
    ]
    assert person["Username"] == EMAIL
    assert "MessageAction" not in person
    assert membership["GroupName"]["Ref"].startswith("PeopleAdministrators")
    assert group["GroupName"] == variables(made, COGNITO)["ADMINISTRATORS"] == "admins"


def test_a_second_factor_is_asked_of_all_or_of_nobody(tmp_path: Path) -> None:
    app = templates.app(tmp_path)
    access = CognitoConfig(administrator_email=EMAIL, second_factor=True)
    strict = environment(name="strict", live=live(), access=access)
    nag.check(app)
    provision(app, strict, templates.built(tmp_path / "built"))
    app.synth()

    pool = one(Assembly(tmp_path / "cdk.out"), "AWS::Cognito::UserPool", strict)
    # `OPTIONAL` would be neither: the sign-in pages offer a second factor to nobody then.
    assert pool["MfaConfiguration"] == "ON"
    assert pool["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]


def test_another_first_administrator_deletes_no_account(made: Assembly) -> None:
    ((_, person),) = made.resources("AWS::Cognito::UserPoolUser", "pool")

    assert person["DeletionPolicy"] == person["UpdateReplacePolicy"] == "Retain"


def test_clients_are_public_and_do_nothing_but_exchange_codes_and_refresh(made: Assembly) -> None:
    clients = dict(made.resources("AWS::Cognito::UserPoolClient", "pool"))
    assert len(clients) == 2

    for client in (each["Properties"] for each in clients.values()):
        assert client["GenerateSecret"] is False
        assert client["AllowedOAuthFlows"] == ["code"]
        # The default would allow signing in by the API, and changing an account by its tokens.
        assert client["ExplicitAuthFlows"] == ["ALLOW_CUSTOM_AUTH"]
        assert "aws.cognito.signin.user.admin" not in client["AllowedOAuthScopes"]
        assert client["PreventUserExistenceErrors"] == "ENABLED"
        assert client["EnableTokenRevocation"] is True
        assert client["RefreshTokenRotation"]["Feature"] == "ENABLED"
        assert client["TokenValidityUnits"]["AccessToken"] == "minutes"
        assert 15 <= client["AccessTokenValidity"] <= 60
    pool = one(made, "AWS::Cognito::UserPool", COGNITO)
    assert "LambdaConfig" not in pool  # which custom authentication would need
    redirects = [each["Properties"]["CallbackURLs"] for each in clients.values()]
    assert list(PROGRAM_REDIRECTS) in redirects


def test_both_clients_have_pages_to_sign_in(made: Assembly) -> None:
    domain = one(made, "AWS::Cognito::UserPoolDomain", COGNITO)
    looks = list(made.resources("AWS::Cognito::ManagedLoginBranding", "pool"))

    assert domain["ManagedLoginVersion"] == 2
    assert "AWS::AccountId" not in json.dumps(domain)
    assert len(looks) == 2


def test_a_pool_without_an_administrator_is_pointed_out(made: Assembly) -> None:
    (metadata,) = made.folder.glob("cloudscribe-nobody-data.metadata.json")
    manifest = (made.folder / "manifest.json").read_text()

    assert "nobody could sign in" in metadata.read_text() + manifest
    assert not list(made.resources("AWS::Cognito::UserPoolUser", "nobody"))


# --- the API ----------------------------------------------------------------------------------


def test_the_function_may_do_what_its_code_does_and_no_more(made: Assembly) -> None:
    of_pool, of_issuer = (statements(made, each, "AccountsApi") for each in (COGNITO, OIDC))

    for found in (of_pool, of_issuer):
        assert actions(found, "dynamodb") == {
            "dynamodb:BatchGetItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
        }
        assert actions(found, "ssm") == {
            "ssm:DeleteParameter",
            "ssm:GetParameter",
            "ssm:PutParameter",
        }
        (denied,) = (each for each in found if each["Effect"] == "Deny")
        assert denied["Action"] == "ssm:PutParameter"
        assert denied["Condition"] == {"StringEquals": {"ssm:Overwrite": "true"}}
    assert actions(of_pool, "cognito-idp") == {
        f"cognito-idp:{call.title().replace('_', '')}" for call in _calls_of(People)
    }
    assert actions(of_issuer, "cognito-idp") == set()
    assert _calls_of(TicketSigner) == {"delete_parameter", "get_parameter", "put_parameter"}
    for prefix, found in (("pool", of_pool), ("oidc", of_issuer)):
        for statement in found:
            if "ssm:" in json.dumps(statement["Action"]):
                assert f":parameter/cloudscribe/{prefix}/ticket-keys/*" in json.dumps(statement)


def _calls_of(owner: type) -> set[str]:
    """Return the calls of AWS in a class's source."""
    source = inspect.getsource(owner)
    return set(re.findall(r"\b_?(?:client|cognito|ssm)\.([a-z]+(?:_[a-z]+)+)\(", source))


@pytest.mark.parametrize("of", [COGNITO, OIDC], ids=["cognito", "oidc"])
def test_the_function_reaches_recordings_of_people_and_nothing_else_in_the_bucket(
    made: Assembly, of: Environment
) -> None:
    found = statements(made, of, "AccountsApi")
    uploads, outcomes = "uploads/people/*/audio", "transcripts/uploads/people/*"

    rights = {
        frozenset(_listed(each["Action"])): (
            [_key_in_bucket(resource) for resource in _listed(each["Resource"])],
            each.get("Condition"),
        )
        for each in found
        if any(action.startswith("s3:") for action in _listed(each["Action"]))
    }
    assert rights == {
        frozenset({"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}): (
            [uploads],
            None,
        ),
        frozenset({"s3:GetObject"}): ([outcomes], None),
        frozenset({"s3:ListBucket"}): (
            [""],
            {"StringLike": {"s3:prefix": ["uploads/people/*", outcomes]}},
        ),
    }
    place = upload_of("a" * 26, "b" * 26)
    assert fnmatchcase(place.key, uploads)
    assert fnmatchcase(place.transcript_key, outcomes)
    assert fnmatchcase(beside(place.transcript_key, FAILURE), outcomes)
    assert _calls_of(RecordingsBucket) == {
        "create_multipart_upload",
        "generate_presigned_url",
        "list_parts",
        "complete_multipart_upload",
        "abort_multipart_upload",
    }
    assert "RECORDINGS_BUCKET" in variables(made, of)
    kept = of.data.recording_days
    assert variables(made, of).get("RECORDING_DAYS") == (None if kept is None else str(kept))


def _key_in_bucket(resource: Any) -> str:
    """Return the part of a bucket's ARN after its name."""
    if "Fn::ImportValue" in resource:
        return ""
    bucket, key = resource["Fn::Join"][1]
    assert "Fn::ImportValue" in bucket
    return str(key).removeprefix("/")


@pytest.mark.parametrize("of", [COGNITO, OIDC, DOMAIN], ids=["cognito", "oidc", "domain"])
def test_people_upload_from_the_page(made: Assembly, of: Environment) -> None:
    bucket = one(made, "AWS::S3::Bucket", of, "RecordingsBucket")
    [rule] = bucket["CorsConfiguration"]["CorsRules"]

    page = "https://captions.example.org" if of is DOMAIN else "https://*.cloudfront.net"
    assert rule["AllowedOrigins"] == [page]
    assert rule["AllowedMethods"] == ["GET", "PUT"]
    assert rule["ExposedHeaders"] == ["ETag"]
    aborted = [
        each["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        for each in bucket["LifecycleConfiguration"]["Rules"]
        if "AbortIncompleteMultipartUpload" in each
    ]
    assert aborted == [UPLOAD_LASTS.days]


def test_the_function_knows_whose_tokens_count(made: Assembly) -> None:
    of_pool, of_issuer = variables(made, COGNITO), variables(made, OIDC)

    assert (
        of_issuer.items()
        >= {
            "ISSUER": ISSUER.issuer,
            "JWKS_URL": ISSUER.jwks_url,
            "TOKEN_KIND": "oidc",
            "AUDIENCES": "api://captions",
            "GROUPS_CLAIM": "roles",
            "ADMINISTRATORS": "captions-admins",
        }.items()
    )
    assert "USER_POOL_ID" not in of_issuer
    assert of_pool.items() >= {"TOKEN_KIND": "cognito", "GROUPS_CLAIM": "cognito:groups"}.items()
    clients = {where.split("/")[1] for where, _ in made.resources("AWS::Cognito::UserPoolClient")}
    assert {each["Ref"] for each in of_pool["AUDIENCES"]["Fn::Join"][1][::2]} <= clients
    assert {"USER_POOL_ID", "ISSUER", "ACCESS_TABLE"} <= of_pool.keys()


def test_requests_are_throttled_and_logged_without_secrets(made: Assembly) -> None:
    stage = one(made, "AWS::ApiGatewayV2::Stage", COGNITO)
    route = one(made, "AWS::ApiGatewayV2::Route", COGNITO)

    assert stage["DefaultRouteSettings"] == {
        "ThrottlingBurstLimit": BURST,
        "ThrottlingRateLimit": RATE,
    }
    assert json.loads(stage["AccessLogSettings"]["Format"]) == LOGGED
    assert not any(word in json.dumps(LOGGED).lower() for word in ("auth", "path", "header"))
    assert route["RouteKey"] == f"ANY {ROOT}/{{proxy+}}"


@pytest.mark.parametrize(("of", "reserved"), [(COGNITO, None), (OIDC, 7)])
def test_concurrency_is_reserved_where_the_environment_says_so(
    made: Assembly, of: Environment, reserved: int | None
) -> None:
    (found,) = (
        resource["Properties"].get("ReservedConcurrentExecutions")
        for _, resource in made.resources("AWS::Lambda::Function", of.name)
        if resource["Properties"].get("Handler") == "lambdas.api.handler.handler"
    )

    assert found == reserved


def test_the_function_has_a_layer_of_its_own_stack(made: Assembly) -> None:
    """Another stack's layer could not be updated while this one uses it."""
    template = made.stacks("pool")["cloudscribe-pool-web"]
    (function,) = (
        each["Properties"]
        for each in template["Resources"].values()
        if each.get("Properties", {}).get("Handler") == "lambdas.api.handler.handler"
    )

    assert [layer["Ref"] in template["Resources"] for layer in function["Layers"]] == [True]


def test_errors_of_the_api_send_a_mail(made: Assembly) -> None:
    alarm = one(made, "AWS::CloudWatch::Alarm", COGNITO, "AccountsApiFunctionErrors")

    assert alarm["AlarmActions"]


# --- CloudFront -------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [COGNITO, OIDC], ids=["cognito", "oidc"])
def test_cloudfront_passes_the_api_on_before_the_service_and_caches_nothing_of_it(
    made: Assembly, of: Environment
) -> None:
    config = one(made, "AWS::CloudFront::Distribution", of)["DistributionConfig"]
    first, second = config["CacheBehaviors"]
    origin = {each["Id"]: each for each in config["Origins"]}[first["TargetOriginId"]]

    assert (first["PathPattern"], second["PathPattern"]) == (ACCOUNTS_PATHS, "/api/*")
    # The managed policies CachingDisabled, and AllViewerExceptHostHeader, which has Authorization.
    assert first["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert first["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"
    assert first["ViewerProtocolPolicy"] == "https-only"
    assert "DELETE" in first["AllowedMethods"]
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    # Requests for the page's files reach S3 without it: this behaviour passes no header on.
    assert "OriginRequestPolicyId" not in config["DefaultCacheBehavior"]
    errors = {each["ErrorCode"]: each for each in config["CustomErrorResponses"]}
    assert errors.keys() == set(ERRORS)
    assert {each["ErrorCachingMinTTL"] for each in errors.values()} == {0}


@pytest.mark.parametrize("of", [COGNITO, OIDC], ids=["cognito", "oidc"])
def test_the_secret_of_the_api_is_its_own(made: Assembly, of: Environment) -> None:
    config = one(made, "AWS::CloudFront::Distribution", of)["DistributionConfig"]
    sent = [
        header["HeaderValue"]
        for each in config["Origins"]
        for header in each.get("OriginCustomHeaders", [])
        if header["HeaderName"] == "X-Cloudscribe-Edge"
    ]
    required = variables(made, of)["EDGE_SECRET"]

    assert sent.count(required) == 1
    assert len(sent) == len({json.dumps(each) for each in sent})
    assert "{{resolve:secretsmanager:" in json.dumps(required)


@pytest.mark.parametrize("of", [COGNITO, OIDC], ids=["cognito", "oidc"])
def test_the_page_may_get_tokens_and_connect_nowhere_else(made: Assembly, of: Environment) -> None:
    function = one(made, "AWS::CloudFront::Function", of, "WebsitePageResponse")
    policy = one(made, "AWS::CloudFront::ResponseHeadersPolicy", of)
    code = json.dumps(function["FunctionCode"])
    connect = code.split("connect-src")[1].split(";")[0]

    hosts = [each for each in connect.split() if "https://" in each]
    assert len(hosts) == 1
    expected = "https://login.example.org" if of is OIDC else ".auth.eu-west-1.amazoncognito.com"
    assert expected in connect
    assert expected in json.dumps(policy)


def test_the_page_and_programs_find_where_to_sign_in(made: Assembly) -> None:
    described = _described(made, OIDC)

    assert AccountAccess.model_validate(described) == AccountAccess(
        issuer=ISSUER.issuer,
        page_client_id="page",
        program_client_id="program",
        authorization_endpoint=ISSUER.authorization_endpoint,
        token_endpoint=ISSUER.token_endpoint,
        scopes=ISSUER.scopes,
    )
    assert AccountAccess.model_validate(_described(made, COGNITO)).kind == "accounts"


def test_the_description_is_there_before_the_page_and_is_asked_for_each_time(
    made: Assembly,
) -> None:
    copies = dict(made.resources("Custom::CDKBucketDeployment", "oidc"))
    named = {where.split("/")[1]: each for where, each in copies.items()}
    (description,) = (name for name in named if "FilesAccess" in name)
    (index,) = (each for name, each in named.items() if "FilesIndex" in name)

    assert description in index["DependsOn"]
    assert named[description]["Properties"]["SystemMetadata"] == {"cache-control": "no-cache"}
    assert named[description]["Properties"]["Prune"] is False


def _described(made: Assembly, of: Environment) -> Any:
    """Return what is in `access.json`, with markers for what is unknown before the deployment."""
    (copy,) = (
        each["Properties"]
        for where, each in made.resources("Custom::CDKBucketDeployment", of.name)
        if "FilesAccess" in where
    )
    (key,) = copy["SourceObjectKeys"]
    folder = made.folder / f"asset.{key.removesuffix('.zip')}"
    text = (folder / "access.json").read_text()
    for marker in copy.get("SourceMarkers", [{}])[0]:
        text = text.replace(marker, f'"{marker}"')
    return json.loads(text)


# --- the service ------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [COGNITO, OIDC], ids=["load balancer", "machine"])
def test_the_service_reads_rights_and_writes_used_tickets_alone(
    made: Assembly, of: Environment
) -> None:
    task = one(made, "AWS::ECS::TaskDefinition", of)
    (container,) = task["ContainerDefinitions"]
    table = {each["Name"]: each["Value"] for each in container["Environment"]}["ACCESS_TABLE"]
    found = [
        statement
        for statement in statements(made, of, "TaskDefinitionTaskRole")
        if "AccessTable" in json.dumps(statement["Resource"])
    ]

    assert "AccessTable" in json.dumps(table)
    assert {each["Action"]: each.get("Condition") for each in found} == {
        "dynamodb:BatchGetItem": None,
        "dynamodb:Query": _only("ticketKeys"),
        "dynamodb:PutItem": _only("ticket#*"),
    }


def _only(partitions: str) -> dict[str, Any]:
    return {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [partitions]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


def test_an_open_environment_has_nothing_of_accounts(tmp_path: Path) -> None:
    app = cdk.App(context=templates.settings(), outdir=str(tmp_path / "cdk.out"))
    provision(app, environment(live=live()), templates.built(tmp_path / "built"))
    app.synth()
    text = json.dumps(Assembly(tmp_path / "cdk.out").stacks())

    for word in ("ACCESS_TABLE", "AWS::Cognito", "AWS::ApiGatewayV2", "access.json", "TicketKeys"):
        assert word not in text
    metadata = "".join(path.read_text() for path in (tmp_path / "cdk.out").glob("*.metadata.json"))
    manifest = (tmp_path / "cdk.out" / "manifest.json").read_text()
    assert "EVERYBODY who knows the address" in metadata + manifest
    assert "aws:cdk:info" in metadata + manifest
