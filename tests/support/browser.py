"""A headless Chromium whose microphone is a file."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    async_playwright,
)

from tests.support.recordings import flite, wav
from tests.support.recordings import silence as quiet

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Keeps hold of what the page opens, so that a test can see whether it lets go.
RECORDER = """
(() => {
  const devices = navigator.mediaDevices
  if (devices === undefined) return
  const getUserMedia = devices.getUserMedia.bind(devices)
  window.openedStreams = []
  devices.getUserMedia = async (constraints) => {
    const stream = await getUserMedia(constraints)
    window.openedStreams.push(stream)
    return stream
  }
})()
"""


def speech(text: str, target: Path, *, silence: float = 0.0) -> Path:
    """Write `text`, spoken by flite's `rms`, as WAV; `silence` seconds before it, 1 after."""
    return wav(target, quiet(silence) + flite(text) + quiet(1.0))


@contextlib.asynccontextmanager
async def chromium(
    *,
    microphone: Path | None = None,
    connected: bool = True,
    allow: bool = True,
    flags: Sequence[str] = (),
) -> AsyncIterator[Browser]:
    """Start Debian's Chromium.

    Args:
        microphone: a WAV file that is played once; without one, Chromium's beeps.
        connected: whether there is a microphone at all.
        allow: answer the question for the microphone with yes, otherwise with no.
        flags: further switches of Chromium.
    """
    arguments = [*_arguments(connected=connected, allow=allow), *flags]
    if microphone is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), headless=True, args=arguments
        )
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def profile(folder: Path) -> AsyncIterator[BrowserContext]:
    """Start Debian's Chromium as a person has it: with a history, in a folder that stays."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            folder,
            executable_path=shutil.which("chromium"),
            headless=True,
            args=_arguments(),
            locale="en-GB",
        )
        try:
            yield context
        finally:
            await context.close()


def visited(folder: Path) -> list[str]:
    """Return the addresses in the history of a profile whose browser is closed."""
    with contextlib.closing(sqlite3.connect(folder / "Default" / "History")) as history:
        return [str(url) for (url,) in history.execute("SELECT url FROM urls ORDER BY id")]


def _arguments(*, connected: bool = True, allow: bool = True) -> list[str]:
    arguments = [*FLAGS]
    arguments.append("--use-fake-device-for-media-stream" if connected else "--disable-audio-input")
    arguments.append("--use-fake-ui-for-media-stream" if allow else "--deny-permission-prompts")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    return arguments


@contextlib.asynccontextmanager
async def visitor(
    browser: Browser,
    url: str,
    *,
    width: int = 1_000,
    expected_errors: Sequence[str] = (),
    dark: bool = False,
) -> AsyncIterator[Page]:
    """Open a page as a new visitor, and fail if it complains in the console.

    `expected_errors` are parts of complaints that belong to the test. Violations of the
    content security policy are among what the console reports.
    """
    context = await browser.new_context(
        viewport={"width": width, "height": 720},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
    )
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        text = message.text
        if message.type == "error" and not any(part in text for part in expected_errors):
            complaints.append(text)

    page = await context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda failure: complaints.append(str(failure)))
    await page.add_init_script(RECORDER)
    try:
        await page.goto(url)
        yield page
    finally:
        await context.close()
    assert complaints == []


def finals(page: Page) -> Locator:
    """Return the texts of what is finished, in the page's order."""
    return page.locator("[data-state=final] > p:last-child")


def drafts(page: Page) -> Locator:
    """Return the texts of what is still being spoken."""
    return page.locator("[data-state=draft] > p:last-child")


async def find_barriers(page: Page) -> list[str]:
    """Return what axe-core finds on a page as it is shown now: rules, and where."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    result = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['html']}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


async def open_microphones(page: Page) -> int:
    """Count the microphones that the page has opened and not released."""
    count = await page.evaluate(
        "window.openedStreams.flatMap((stream) => stream.getTracks())"
        ".filter((track) => track.readyState === 'live').length"
    )
    return int(count)
