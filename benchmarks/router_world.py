"""Fakes what the router calls, on one port of the loopback: `python -m benchmarks.router_world`.

It is an S3 without transcripts, SQS, and a GPU server that responds at once, so that only the
router's own time is measured. It prints its address and serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

HEALTH = {"status": "ok", "ready": True, "queue": {"waiting": 0, "running": 0, "limit": 8}}
MISSING = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"


async def _s3(request: web.Request) -> web.Response:
    body = b"" if request.method == "HEAD" else MISSING
    return web.Response(status=404, body=body, content_type="application/xml")


async def _sqs(_request: web.Request) -> web.Response:
    # botocore compares the digest of the body where one is sent, so none is.
    return web.Response(
        body=json.dumps({"MessageId": "1"}).encode(), content_type="application/x-amz-json-1.0"
    )


async def _health(_request: web.Request) -> web.Response:
    return web.json_response(HEALTH)


async def _transcribe(request: web.Request) -> web.Response:
    await request.json()
    return web.json_response({})


async def _main() -> None:
    app = web.Application()
    app.router.add_get("/health", _health)
    app.router.add_post("/transcribe-s3", _transcribe)
    app.router.add_post("/", _sqs)
    app.router.add_get("/{key:.+}", _s3)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
