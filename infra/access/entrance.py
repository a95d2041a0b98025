"""The way from CloudFront to the API of accounts: an HTTP API of API Gateway.

It costs nothing while nobody calls it. (A function's own address with CloudFront's signature would
need no secret, but that signature takes the header `Authorization` for itself.) The address of an
HTTP API is public, so the function requires a secret that only CloudFront sends; it refuses other
requests before it reads anything. Throttling bounds what strangers cost: AWS does not charge for
requests that the gateway throttles.
"""

from __future__ import annotations

import json
from typing import Final

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from access.messages import ROOT
from infra.aws.log_retention import RETENTION
from infra.common.edge_secret import SECRET_HEADER, make_edge_secret, refer_to_value
from infra.common.nag import accept
from infra.common.outputs import add_outputs

#: Requests a second, and at once: a lecture hall opens a link together. Readers who reconnect call
#: nothing.
RATE: Final = 20
BURST: Final = 500
#: What is logged of a request. Paths have names of people, headers have credentials, and the
#: address of every request is CloudFront's, or that of a stranger who goes past it.
LOGGED: Final = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "route": "$context.routeKey",
    "status": "$context.status",
    "length": "$context.responseLength",
    "latency": "$context.responseLatency",
    "error": "$context.integrationErrorMessage",
}


class ApiEntrance(Construct):
    """The HTTP API, still without a function.

    The distribution needs the API, the clients need the distribution's address, and the function
    needs the clients. So the function comes last.

    Attributes:
        api: the HTTP API.
        secret: the secret that CloudFront sends and the function requires.
    """

    def __init__(self, scope: Construct, construct_id: str, *, log_days: int) -> None:
        """Make the API; its access log is kept for `log_days`."""
        super().__init__(scope, construct_id)
        self.secret = make_edge_secret(self)
        self.api = apigateway.HttpApi(
            self,
            "Api",
            api_name=Stack.of(self).stack_name,
            create_default_stage=False,
            description="Accounts and rights",
        )
        log = logs.LogGroup(
            self, "Logs", retention=RETENTION[log_days], removal_policy=RemovalPolicy.DESTROY
        )
        # Its own address, which the smoke check must not get in by.
        add_outputs(self, ApiUrl=self.api.api_endpoint)
        apigateway.CfnStage(
            self,
            "Stage",
            api_id=self.api.api_id,
            stage_name="$default",
            auto_deploy=True,
            default_route_settings=apigateway.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=RATE, throttling_burst_limit=BURST
            ),
            access_log_settings=apigateway.CfnStage.AccessLogSettingsProperty(
                destination_arn=log.log_group_arn, format=json.dumps(LOGGED)
            ),
        )

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return the API as an origin, over TLS and with the secret."""
        del scope
        region = Stack.of(self).region
        return origins.HttpOrigin(
            f"{self.api.api_id}.execute-api.{region}.{Aws.URL_SUFFIX}",
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
            custom_headers={SECRET_HEADER: refer_to_value(self.secret)},
        )

    def serve(self, function: lambda_.IFunction, timeout: Duration) -> None:
        """Pass the API's requests on to a function; the gateway answers all others with 404."""
        for route in self.api.add_routes(
            path=f"{ROOT}/{{proxy+}}",
            methods=[apigateway.HttpMethod.ANY],
            integration=integrations.HttpLambdaIntegration("Function", function, timeout=timeout),
        ):
            accept(
                route,
                "AwsSolutions-APIG4",
                "The function verifies access tokens, API keys and share links itself; the "
                "gateway knows only the first of them.",
            )
