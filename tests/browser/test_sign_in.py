"""Two people sign in at the real pages of the demo with accounts, one after the other."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, Response, expect

from local_cloud.accounts.setup import SOURCES
from speech.engines.scripted import ScriptedModel
from tests.support.browser import finals, profile, visited
from tests.support.demo import RunningDemo, ready_demo

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not SOURCES.is_dir(), reason="the API's function is not built (make setup)"),
]

TITLE = "Salaries"
HOUR = 3_600
#: Milliseconds. The first calls of the API start the function.
SLOW = 20_000
#: Where an answer has a secret that no place of the browser may keep.
SECRETS = ("access_token", "refresh_token", "id_token", "ticket", "secret")


@dataclass
class Witness:
    """What a browser was given, and what it has said about it."""

    secrets: set[str] = field(default_factory=set)
    console: list[str] = field(default_factory=list)
    renewals: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def watch(self, context: BrowserContext) -> None:
        context.on("console", lambda message: self.console.append(message.text))
        context.on("weberror", lambda failure: self.console.append(str(failure.error)))
        context.on("response", self._note)

    def _note(self, response: Response) -> None:
        task = asyncio.create_task(self._read(response))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, response: Response) -> None:
        is_json = "json" in response.headers.get("content-type", "")
        if response.request.method != "POST" or not is_json:
            return
        document = await response.json()
        self.secrets |= {document[name] for name in SECRETS if name in document}
        if "grant_type=refresh_token" in (response.request.post_data or ""):
            self.renewals += 1


async def sign_in(page: Page, demo: RunningDemo, email: str) -> None:
    """Fill the form of the sign-in, which the page has led to."""
    found = re.search(rf"{re.escape(email)} +(\S+)  \(", demo.output)
    assert found is not None
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(re.compile("/oauth2/authorize"))
    await page.locator("input[name=username]").fill(email)
    await page.locator("input[name=password]").fill(found[1])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Your conversations")).to_be_visible(timeout=SLOW)


async def make_secrets(page: Page) -> tuple[str, str]:
    """Make an API key, a conversation and a link; return the addresses of the last two."""
    await page.get_by_role("link", name="Account").click()
    await page.get_by_label("Label, for you to know it by").fill("Board")
    await page.get_by_role("button", name="Make a key").click()
    await expect(page.get_by_text(re.compile("^csk_"))).to_be_visible(timeout=SLOW)
    await page.get_by_role("link", name="Conversations").click()
    await page.get_by_label("Title of a new conversation").fill(TITLE)
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("status", name="Connection")).to_have_text("Live", timeout=SLOW)
    address = page.url
    await page.get_by_role("button", name="Share").click()
    await page.get_by_role("button", name="Make a link").click()
    shown = page.get_by_text(re.compile("^http.*csl_"))
    await expect(shown).to_be_visible(timeout=SLOW)
    link = await shown.inner_text()
    await page.keyboard.press("Escape")
    return address, link


async def stream_for_an_hour(page: Page, witness: Witness) -> None:
    """Speak while the clock moves by an hour; every word arrives, and the tokens are renewed."""
    await page.get_by_role("button", name="Start").click()
    await expect(finals(page)).not_to_have_count(0)
    before = witness.renewals
    # As people and networks move it: no timer is due earlier for that.
    await page.clock.set_system_time(await page.evaluate(f"Date.now() / 1_000 + {HOUR}"))
    await page.evaluate("dispatchEvent(new Event('online'))")
    said = await finals(page).count()
    await expect(finals(page)).to_have_count(said + 2, timeout=20_000)
    assert witness.renewals == before + 1
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("button", name="Start")).to_be_visible()
    # The stand-in's words follow from the audio: a gap or a second stream would change them.
    words = " ".join(await finals(page).all_inner_texts()).lower().split()
    assert len(words) > 16
    assert words == list(ScriptedModel().list_words()[: len(words)])


async def be_the_next(page: Page, demo: RunningDemo, address: str) -> str:
    """Sign in as somebody else, who sees nothing of the first; return what the browser keeps."""
    # The browser's Back leads to nothing, and the next person is asked for a password.
    await page.go_back()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=SLOW)
    assert TITLE not in await page.locator("body").inner_text()
    await page.goto(demo.url)
    await sign_in(page, demo, "sam@example.com")
    await expect(page.get_by_text("There is none yet.")).to_be_visible(timeout=SLOW)
    await page.goto(address)
    await expect(
        page.get_by_role("heading", name="There is no such conversation of yours.")
    ).to_be_visible(timeout=SLOW)
    local = str(await page.evaluate("JSON.stringify(localStorage)"))
    assert "Ada" not in local
    return local


async def test_a_shared_browser_keeps_nothing_of_the_person_before(tmp_path: Path) -> None:
    witness = Witness()
    async with ready_demo(tmp_path / "demo", access="accounts") as demo:
        await demo.until("Nobody sends invitations")
        async with profile(tmp_path / "profile") as context:
            witness.watch(context)
            page = await context.new_page()
            await page.clock.install()
            await page.goto(demo.url)
            await sign_in(page, demo, "ada@example.com")

            address, link = await make_secrets(page)
            await page.get_by_label("Your name").fill("Ada")
            await stream_for_an_hour(page, witness)

            # The issuer's session lets the same browser in without the form.
            second = await context.new_page()
            await second.goto(demo.url)
            await second.get_by_role("button", name="Sign in").click()
            await expect(second.get_by_role("heading", name="Your conversations")).to_be_visible(
                timeout=SLOW
            )

            await page.get_by_role("link", name="Conversations").click()
            await page.get_by_role("button", name="Sign out").click()
            await page.wait_for_url(f"{demo.url}/")
            await expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=SLOW)
            await expect(second.get_by_role("button", name="Sign in")).to_be_visible(timeout=SLOW)
            for each in (page, second):
                assert await each.evaluate("sessionStorage.length") == 0
            await second.close()

            guest = await context.new_page()
            await guest.goto(link)
            await expect(finals(guest)).not_to_have_count(0, timeout=SLOW)
            assert guest.url == address
            await guest.close()

            local = await be_the_next(page, demo, address)

    assert {each[:4] for each in witness.secrets} >= {"csk_", "csl_"}
    history = visited(tmp_path / "profile")
    assert address in history
    assert found(witness.secrets, [local, *witness.console]) == set()
    # Chromium's history keeps an address that the page has replaced at once: no page can change it.
    assert found(witness.secrets, history) <= {link.rpartition("/")[2]}


def found(secrets: set[str], texts: list[str]) -> set[str]:
    """Return those of `secrets` that are in one of `texts`."""
    return {secret for secret in secrets if any(secret in text for text in texts)}
