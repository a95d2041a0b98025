"""The page with accounts: from the sign-in to a guest who loses access."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import chromium, finals, find_barriers, visitor
from tests.support.fake_accounts import SAM, FakeAccounts, fake_accounts

pytestmark = pytest.mark.browser

#: What Chromium reports of refused requests; the page reports them in words.
REFUSED = "the server responded with a status of 401"


@pytest.fixture
async def accounts() -> AsyncIterator[FakeAccounts]:
    """Give a site with accounts."""
    async with fake_accounts() as site:
        yield site


async def sign_in(page: Page) -> None:
    """Sign in; the fake issuer asks for nothing."""
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Your conversations")).to_be_visible()


async def create(page: Page, title: str) -> None:
    """Create a conversation, and wait until it is open."""
    await page.get_by_label("Title of a new conversation").fill(title)
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")


async def make_link(page: Page, *, to: str = "read") -> str:
    """Make a share link in the open conversation, and return it."""
    await page.get_by_role("button", name="Share").click()
    await page.get_by_label(to, exact=True).check()
    await page.get_by_label("Label, for you to know it by").fill("The hall")
    await page.get_by_role("button", name="Make a link").click()
    link = page.get_by_text(re.compile("^http.*csl_"))
    await expect(link).to_be_visible()
    text = await link.inner_text()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="Share")).to_be_focused()
    return text


async def stored(page: Page) -> tuple[str, str]:
    """Return what the page keeps: for all visits, and for its tab."""
    local = await page.evaluate("JSON.stringify(localStorage)")
    tab = await page.evaluate("JSON.stringify(Object.keys(sessionStorage))")
    return str(local), str(tab)


async def test_a_conversation_is_created_shared_read_by_a_guest_and_taken_back(
    accounts: FakeAccounts,
) -> None:
    async with chromium() as browser, visitor(browser, accounts.url) as owner:
        await sign_in(owner)
        assert owner.url == f"{accounts.url}/"
        await create(owner, "Stand-up")
        [conversation] = accounts.conversations
        assert owner.url == f"{accounts.url}/#/c/{conversation}"
        link = await make_link(owner)
        assert link.startswith(f"{accounts.url}/#/c/{conversation}/csl_")
        secret = link.rpartition("/")[2]

        async with visitor(browser, link, expected_errors=[REFUSED]) as guest:
            await expect(guest.get_by_role("status", name="Connection")).to_have_text("Live")
            assert guest.url == f"{accounts.url}/#/c/{conversation}"
            await accounts.service.publish_final("hello to all")
            await expect(finals(guest)).to_have_text(["hello to all"])
            await expect(finals(owner)).to_have_text(["hello to all"])
            await expect(guest.get_by_role("button", name="Start")).to_have_count(0)
            local, tab = await stored(guest)
            assert secret not in local
            assert tab == f'["cloudscribe.link.{conversation}"]'
            assert secret not in await guest.title()

            await guest.reload()
            await expect(finals(guest)).to_have_text(["hello to all"])

            await owner.get_by_role("button", name="Share").click()
            await owner.get_by_role("button", name="Revoke The hall").click()
            await expect(owner.get_by_text("There is none.")).to_be_visible()
            words = guest.get_by_text("You have no access to this conversation any more.")
            await expect(words).to_be_visible()
            await expect(guest.get_by_role("status", name="Connection")).to_have_text(
                "Not connected"
            )
            await guest.reload()
            heading = guest.get_by_role("heading", name="This link does not work any more.")
            await expect(heading).to_be_visible()


async def test_a_guest_speaks_with_a_link_to_speak(accounts: FakeAccounts) -> None:
    async with chromium() as browser, visitor(browser, accounts.url) as owner:
        await sign_in(owner)
        await create(owner, "Stand-up")
        link = await make_link(owner, to="read and speak")
        async with visitor(browser, link) as guest:
            await guest.get_by_role("button", name="Start").click()
            await expect(guest.get_by_role("status", name="Microphone")).to_have_text("Listening")
            await expect(finals(owner).first).to_be_visible()
            await guest.get_by_role("button", name="Stop").click()
            await expect(guest.get_by_role("button", name="Start")).to_be_visible()


async def test_a_sign_in_survives_a_reload_and_ends_with_sign_out(accounts: FakeAccounts) -> None:
    async with chromium() as browser, visitor(browser, accounts.url) as page:
        await sign_in(page)
        local, tab = await stored(page)
        assert tab == '["cloudscribe.refresh"]'
        for token in accounts.access_tokens | accounts.refresh_tokens:
            assert token not in local
        await page.reload()
        await expect(page.get_by_role("heading", name="Your conversations")).to_be_visible()
        assert accounts.renewals == 1
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert (await stored(page))[1] == "[]"
        assert accounts.refresh_tokens == set()


async def test_tokens_are_renewed_in_silence_while_a_stream_runs(accounts: FakeAccounts) -> None:
    async with chromium() as browser, visitor(browser, accounts.url) as page:
        await sign_in(page)
        await create(page, "Stand-up")
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("status", name="Microphone")).to_have_text("Listening")
        # An hour passes by the clock that people set.
        await page.evaluate("{ const now = Date.now; Date.now = () => now() + 3_600_000 }")
        await page.evaluate("dispatchEvent(new Event('online'))")
        await expect(finals(page)).not_to_have_count(0)
        assert accounts.renewals == 1
        assert len(accounts.service.audio) == 1
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("button", name="Start")).to_be_visible()


async def test_a_foreign_answer_of_a_sign_in_is_refused_in_words(accounts: FakeAccounts) -> None:
    async with chromium() as browser:
        url = f"{accounts.url}/?code=mallorys&state=mallorys#/"
        async with visitor(browser, url) as page:
            await expect(page.get_by_role("alert")).to_contain_text("not started in this tab")
            assert page.url == f"{accounts.url}/#/"
            assert accounts.access_tokens == set()
            await sign_in(page)


async def test_an_outage_of_the_service_gets_no_new_tickets(accounts: FakeAccounts) -> None:
    errors = ["WebSocket connection to"]
    async with (
        chromium() as browser,
        visitor(browser, accounts.url, expected_errors=errors) as owner,
    ):
        await sign_in(owner)
        await create(owner, "Stand-up")
        link = await make_link(owner)
        async with visitor(browser, link, expected_errors=errors) as guest:
            await expect(guest.get_by_role("status", name="Connection")).to_have_text("Live")
            accounts.service.reachable = False
            accounts.service.cut()
            await expect(guest.get_by_role("status", name="Connection")).to_have_text(
                "Connecting again"
            )
            await guest.wait_for_timeout(2_000)
            accounts.service.reachable = True
            await expect(guest.get_by_role("status", name="Connection")).to_have_text("Live")
            assert accounts.guest_tickets == 1


async def test_keys_people_and_roles_are_managed_on_the_page(accounts: FakeAccounts) -> None:
    async with chromium() as browser, visitor(browser, accounts.url) as page:
        await sign_in(page)
        await page.get_by_role("link", name="Account").click()
        await expect(page.get_by_role("heading", name="Your account")).to_be_focused()
        await page.get_by_label("Label, for you to know it by").fill("The stage")
        await page.keyboard.press("Enter")
        secret = page.get_by_text(re.compile("^csk_"))
        await expect(secret).to_be_visible()
        text = await secret.inner_text()
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.get_by_role("button", name="Copy key").click()
        await expect(page.get_by_role("button", name="Key copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == text
        await page.get_by_role("button", name="Revoke The stage").press("Enter")
        await expect(page.get_by_role("heading", name="Keys that were made")).to_be_focused()
        assert accounts.keys == ()

        await page.get_by_role("link", name="People").click()
        await page.get_by_label("E-mail address of a new person").fill("eve@example.com")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Block eve@example.com").press("Enter")
        await expect(page.get_by_role("button", name="Unblock eve@example.com")).to_be_focused()
        assert accounts.people["eve"].is_blocked
        assert text not in await page.content()

        await page.get_by_role("link", name="Conversations").click()
        await create(page, "Stand-up")
        await page.get_by_role("button", name="Share").click()
        await page.get_by_label("E-mail address or id of a person").fill("sam@example.com")
        await page.keyboard.press("Enter")
        await page.get_by_label("Role of sam@example.com").select_option("speaker")
        [conversation] = accounts.conversations
        await expect(page.get_by_text("sam@example.com has the role.")).to_be_visible()
        assert accounts.conversations[conversation].people == {SAM: "speaker"}


async def show_all(page: Page) -> AsyncIterator[Locator]:
    """Show one view of the page after the other, with what is in it at most."""
    await sign_in(page)
    yield page.get_by_role("main")
    await page.get_by_role("link", name="Account").click()
    await page.get_by_label("Label, for you to know it by").fill("The stage")
    await page.get_by_role("button", name="Make a key").click()
    await expect(page.get_by_role("button", name="Revoke The stage")).to_be_visible()
    yield page.get_by_role("main")
    await page.get_by_role("link", name="People").click()
    await expect(page.get_by_role("button", name="Block sam@example.com")).to_be_visible()
    yield page.get_by_role("main")
    await page.get_by_role("link", name="Conversations").click()
    await create(page, "Stand-up")
    await page.get_by_role("button", name="Share").click()
    await page.get_by_role("button", name="Make a link").click()
    await page.get_by_label("E-mail address or id of a person").fill(SAM)
    await page.get_by_role("button", name="Give the role").click()
    await expect(page.get_by_role("button", name="Remove sam@example.com")).to_be_visible()
    yield page.get_by_role("dialog")


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1_000, True)])
async def test_no_view_has_a_barrier_or_has_to_be_scrolled_sideways(
    accounts: FakeAccounts, width: int, *, dark: bool
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, accounts.url, width=width, dark=dark) as page,
    ):
        views = 0
        async for view in show_all(page):
            views += 1
            assert await find_barriers(page) == []
            sizes = "(element) => [element.scrollWidth - element.clientWidth,"
            sizes += " document.documentElement.scrollWidth - innerWidth]"
            assert max(await view.evaluate(sizes)) <= 0
        assert views == 4
