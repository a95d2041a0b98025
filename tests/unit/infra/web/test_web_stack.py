"""The page's stack: what is public, what is kept by whom, and what the edge makes of requests."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk.assertions import Template
from constructs import Construct

from infra.config.domain import Domain, HostedZone
from infra.live.entrances import VIEWER_HEADER
from infra.web.page_files import ASK_FIRST, IMMUTABLE
from infra.web.page_headers import page_headers
from infra.web.website import FUNCTIONS, Website
from local_cloud.edge import server

pytestmark = pytest.mark.unit

DOMAIN = Domain(
    name="captions.example.com",
    certificate_arn="arn:aws:acm:us-east-1:111111111111:certificate/1234",
    hosted_zone=HostedZone(zone_id="Z0123456789", name="example.com"),
)


class SharedEntrance:
    """An entrance as Website sees it."""

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        del scope
        return origins.HttpOrigin(
            "shared.example.com", protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY
        )


class Web:
    """A synthesised stack, and short ways to what is in it."""

    def __init__(self, page: Path, *, domain: Domain | None, protected: bool) -> None:
        app = cdk.App()
        stack = cdk.Stack(app, "web", env=cdk.Environment(region="us-east-1"))
        Website(
            stack,
            "Website",
            page=str(page),
            entrance=SharedEntrance(),
            domain=domain,
            access_logs=protected,
            protected=protected,
        )
        self.assembly = app.synth()
        self.template: dict[str, Any] = dict(Template.from_stack(stack).to_json())

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        resources = self.template["Resources"]
        return {name: value for name, value in resources.items() if value["Type"] == kind}

    def only(self, kind: str) -> dict[str, Any]:
        (found,) = self.all(kind).values()
        properties: dict[str, Any] = found["Properties"]
        return properties

    @property
    def distribution(self) -> dict[str, Any]:
        config: dict[str, Any] = self.only("AWS::CloudFront::Distribution")["DistributionConfig"]
        return config

    @property
    def api(self) -> dict[str, Any]:
        (behavior,) = self.distribution["CacheBehaviors"]
        assert behavior["PathPattern"] == "/api/*"
        found: dict[str, Any] = behavior
        return found

    @property
    def page(self) -> dict[str, Any]:
        found: dict[str, Any] = self.distribution["DefaultCacheBehavior"]
        return found

    def copies(self) -> dict[str, dict[str, Any]]:
        """Return the copying of files by what viewers may keep of them."""
        return {
            value["Properties"]["SystemMetadata"]["cache-control"]: value
            for value in self.all("Custom::CDKBucketDeployment").values()
        }

    def copied(self, cache_control: str) -> set[str]:
        """Return the files that are copied with a header."""
        (key,) = self.copies()[cache_control]["Properties"]["SourceObjectKeys"]
        folder = Path(self.assembly.directory) / f"asset.{key.removesuffix('.zip')}"
        return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    (folder / "assets").mkdir()
    (folder / "assets" / "index-Ct2AUS-7.js").write_text("")
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "robots.txt").write_text("")
    return folder


@pytest.fixture(scope="module")
def demo(page: Path) -> Web:
    return Web(page, domain=None, protected=False)


@pytest.fixture(scope="module")
def prod(page: Path) -> Web:
    return Web(page, domain=DOMAIN, protected=True)


# --- who can read what -----------------------------------------------------------------------


def test_only_this_distribution_reads_the_bucket(demo: Web) -> None:
    statements = demo.only("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    (distribution,) = demo.all("AWS::CloudFront::Distribution")

    allowed = [each for each in statements if each["Effect"] == "Allow"]

    assert allowed
    for each in allowed:
        assert each["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        assert distribution in json.dumps(each["Condition"]["StringEquals"]["AWS:SourceArn"])


def test_bucket_is_private_and_refuses_requests_in_clear(demo: Web) -> None:
    blocked = demo.only("AWS::S3::Bucket")["PublicAccessBlockConfiguration"]
    statements = demo.only("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]

    assert set(blocked.values()) == {True}
    assert any(
        each["Effect"] == "Deny" and each["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for each in statements
    )


def test_copying_function_may_change_nothing_but_the_page(demo: Web) -> None:
    (bucket,) = demo.all("AWS::S3::Bucket")
    (policy,) = demo.all("AWS::IAM::Policy").values()

    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        actions = statement["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        assert not any("*" in action for action in actions)
        assert statement["Resource"] != "*"
        if {"s3:PutObject", "s3:DeleteObject"} & set(actions):
            assert bucket in json.dumps(statement["Resource"])


# --- what is cached --------------------------------------------------------------------------


def test_hashed_files_are_kept_for_good_and_the_index_is_asked_for(demo: Web) -> None:
    assert demo.copied(IMMUTABLE) == {"assets/index-Ct2AUS-7.js"}
    assert demo.copied(ASK_FIRST) == {"index.html", "robots.txt"}
    assert server.cache_control(Path("/d"), Path("/d/assets/a.js")) == IMMUTABLE
    assert server.cache_control(Path("/d"), Path("/d/index.html")) == ASK_FIRST


def test_index_comes_after_the_files_it_names_and_is_fresh_at_once(demo: Web) -> None:
    copies = demo.copies()
    names = {id(value): name for name, value in demo.all("Custom::CDKBucketDeployment").items()}

    assert names[id(copies[IMMUTABLE])] in copies[ASK_FIRST]["DependsOn"]
    assert copies[ASK_FIRST]["Properties"]["DistributionPaths"] == ["/", "/index.html"]
    assert copies[ASK_FIRST]["Properties"]["WaitForDistributionInvalidation"] is False, (
        "a slow edge is no reason to roll back"
    )


def test_files_of_pages_that_are_still_open_stay(demo: Web) -> None:
    assert [copy["Properties"]["Prune"] for copy in demo.copies().values()] == [False, False]


def test_api_is_never_cached(demo: Web) -> None:
    disabled = cloudfront.CachePolicy.CACHING_DISABLED.cache_policy_id

    assert demo.api["CachePolicyId"] == disabled
    assert demo.page["CachePolicyId"] != disabled


# --- what passes -----------------------------------------------------------------------------


def test_api_gets_every_method_and_header_but_the_host(demo: Web) -> None:
    policy = cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER

    assert set(demo.api["AllowedMethods"]) == {
        "GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE",
    }  # fmt: skip
    assert demo.api["OriginRequestPolicyId"] == policy.origin_request_policy_id


def test_page_is_only_read(demo: Web) -> None:
    assert set(demo.page["AllowedMethods"]) == {"GET", "HEAD"}


def test_nothing_is_answered_in_clear(demo: Web) -> None:
    assert demo.page["ViewerProtocolPolicy"] == "redirect-to-https"
    assert demo.api["ViewerProtocolPolicy"] == "https-only"


def test_answers_of_the_service_are_not_replaced(demo: Web) -> None:
    assert "CustomErrorResponses" not in demo.distribution


# --- headers ---------------------------------------------------------------------------------


def test_headers_are_those_of_the_local_edge_but_for_tls() -> None:
    local = server.security_headers("captions.example.com")
    local["Content-Security-Policy"] = local["Content-Security-Policy"].replace("ws://", "wss://")

    ours = page_headers("wss://captions.example.com")

    assert {name: ours[name] for name in local} == local


def test_template_carries_every_header(prod: Web) -> None:
    config = prod.only("AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    security = config["SecurityHeadersConfig"]
    strict = security["StrictTransportSecurity"]

    sent = {each["Header"]: each["Value"] for each in config["CustomHeadersConfig"]["Items"]} | {
        "Content-Security-Policy": security["ContentSecurityPolicy"]["ContentSecurityPolicy"],
        "Referrer-Policy": security["ReferrerPolicy"]["ReferrerPolicy"],
        "Strict-Transport-Security": f"max-age={strict['AccessControlMaxAgeSec']}",
        "X-Content-Type-Options": "nosniff" if security["ContentTypeOptions"] else "",
        "X-Frame-Options": security["FrameOptions"]["FrameOption"],
    }

    assert sent == page_headers("wss://captions.example.com")
    assert strict["IncludeSubdomains"] is False


def test_page_may_use_the_microphone_and_may_not_be_framed() -> None:
    headers = page_headers()

    assert "microphone=(self)" in headers["Permissions-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


# --- functions at the edge, run by node ------------------------------------------------------


def function_code(web: Web, comment: str) -> str:
    for found in web.all("AWS::CloudFront::Function").values():
        if found["Properties"]["FunctionConfig"]["Comment"].endswith(comment):
            code: str = found["Properties"]["FunctionCode"]
            return code
    raise LookupError(comment)


def run(code: str, events: list[dict[str, Any]]) -> list[Any]:
    """Have node run a handler of CloudFront Functions for each event."""
    node = shutil.which("node")
    assert node, "node is not installed"
    program = f"{code}\nconsole.log(JSON.stringify({json.dumps(events)}.map(handler)))"
    answer = subprocess.run(
        [node, "-e", program], capture_output=True, text=True, check=True, timeout=30
    )
    results: list[Any] = json.loads(answer.stdout)
    return results


def test_routes_of_the_page_get_the_index_and_files_themselves(demo: Web, page: Path) -> None:
    paths = ["/", "/index.html", "/assets/index-Ct2AUS-7.js", "/watch", "/watch/", "/a.b/watch"]
    paths += ["/apiary", "//"]

    code = function_code(demo, "page_request.js")
    asked = [each["uri"] for each in run(code, [{"request": {"uri": path}} for path in paths])]

    for path, uri in zip(paths, asked, strict=True):
        assert page / uri[1:] == server.find_file(page, path), path


def test_a_missing_file_stays_missing(demo: Web, page: Path) -> None:
    (request,) = run(
        function_code(demo, "page_request.js"), [{"request": {"uri": "/assets/old.js"}}]
    )

    assert request["uri"] == "/assets/old.js"
    assert server.find_file(page, "/assets/old.js") is None


def test_the_service_gets_the_viewers_host_and_address_whatever_the_viewer_claims(
    demo: Web,
) -> None:
    headers = {
        "host": {"value": "d111.cloudfront.net"},
        "x-forwarded-host": {
            "value": "evil.example",
            "multiValue": [{"value": "evil.example"}, {"value": "more.example"}],
        },
        VIEWER_HEADER.lower(): {"value": "192.0.2.66", "multiValue": [{"value": "192.0.2.66"}]},
        "sec-websocket-key": {"value": "dGhlIHNhbXBsZSBub25jZQ=="},
    }
    viewer = {"ip": "2001:0db8::7"}

    (request,) = run(
        function_code(demo, "api_request.js"),
        [{"viewer": viewer, "request": {"uri": "/api/stt/connect", "headers": headers}}],
    )

    assert request["headers"]["x-forwarded-host"] == {"value": "d111.cloudfront.net"}
    assert request["headers"][VIEWER_HEADER.lower()] == {"value": "2001:0db8::7"}
    assert request["headers"]["sec-websocket-key"] == headers["sec-websocket-key"]
    assert request["uri"] == "/api/stt/connect"


def test_policy_names_the_sockets_of_the_host_that_was_asked(demo: Web) -> None:
    hosts: list[dict[str, Any]] = [{"host": {"value": "d111.cloudfront.net"}}, {}]

    known, unknown = run(
        function_code(demo, "page_response.js"),
        [{"request": {"headers": host}, "response": {"headers": {}}} for host in hosts],
    )

    expected = page_headers("wss://d111.cloudfront.net")["Content-Security-Policy"]
    assert known["headers"] == {"content-security-policy": {"value": expected}}
    assert unknown["headers"] == {}


def test_functions_keep_within_what_cloudfront_takes() -> None:
    for file in FUNCTIONS.glob("*.js"):
        assert len(file.read_bytes()) < 10_000  # CloudFront Functions: 10 KB


# --- a domain of one's own, and what outlives the stack --------------------------------------


def test_page_is_found_under_its_domain_with_a_current_tls(prod: Web) -> None:
    records = prod.all("AWS::Route53::RecordSet").values()

    assert prod.template["Outputs"]["Url"]["Value"] == "https://captions.example.com"
    assert prod.distribution["Aliases"] == ["captions.example.com"]
    assert prod.distribution["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert {record["Properties"]["Type"] for record in records} == {"A", "AAAA"}
    assert {record["Properties"]["Name"] for record in records} == {"captions.example.com."}


def test_without_a_domain_the_page_is_found_under_cloudfronts_name(demo: Web) -> None:
    assert "DomainName" in json.dumps(demo.template["Outputs"]["Url"]["Value"])
    assert not demo.all("AWS::Route53::RecordSet")


def test_protected_files_outlive_their_stack_and_others_go_with_it(demo: Web, prod: Web) -> None:
    assert {each["DeletionPolicy"] for each in prod.all("AWS::S3::Bucket").values()} == {"Retain"}
    assert {each["DeletionPolicy"] for each in demo.all("AWS::S3::Bucket").values()} == {"Delete"}
    # The function leaves the files of a bucket whose tags it can read: aws/aws-cdk issue 33397.
    assert "s3:GetBucketTagging" not in json.dumps(demo.all("AWS::IAM::Policy"))
    assert {each["Properties"]["RetainOnDelete"] for each in demo.copies().values()} == {False}
    assert {each["Properties"]["RetainOnDelete"] for each in prod.copies().values()} == {True}


def test_the_access_log_does_not_name_the_conversation_that_was_watched(prod: Web) -> None:
    fields = prod.only("AWS::Logs::Delivery")["RecordFields"]

    assert "cs-uri-stem" in fields
    assert not {"cs-uri-query", "cs(Referer)", "cs(Cookie)"} & set(fields)
    assert "Logging" not in prod.distribution  # the older one, which always has the query


def test_access_log_is_written_by_this_delivery_only(prod: Web) -> None:
    source = prod.only("AWS::Logs::DeliverySource")["Name"]
    (writing,) = [
        statement
        for policy in prod.all("AWS::S3::BucketPolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement.get("Sid") == "OurAccessLog"
    ]

    assert writing["Action"] == "s3:PutObject"
    assert source in json.dumps(writing["Condition"]["ArnLike"]["aws:SourceArn"])


def test_access_log_never_keeps_its_stack_from_being_deleted(page: Path) -> None:
    app = cdk.App()
    stack = cdk.Stack(app, "web", env=cdk.Environment(region="us-east-1"))
    Website(
        stack,
        "Website",
        page=str(page),
        entrance=SharedEntrance(),
        domain=None,
        access_logs=True,
        protected=False,
    )
    (log,) = (
        bucket
        for bucket in Template.from_stack(stack).find_resources("AWS::S3::Bucket").values()
        if "LifecycleConfiguration" in bucket["Properties"]
    )

    assert log["DeletionPolicy"] == "Retain", "a bucket that is written to cannot be deleted"


def test_no_access_log_unless_asked_for(demo: Web) -> None:
    assert not demo.all("AWS::Logs::Delivery")
