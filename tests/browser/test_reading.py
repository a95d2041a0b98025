"""The page as its readers meet it."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.support.browser import chromium, drafts, finals, visitor
from tests.support.fake_service import FakeService

pytestmark = pytest.mark.browser


async def test_a_new_visitor_gets_a_conversation_of_their_own_in_the_address(
    fake_site: FakeService,
) -> None:
    async with chromium() as browser:
        names = []
        for _ in range(2):
            async with visitor(browser, fake_site.url) as page:
                # The page asks first whether people sign in here.
                await page.wait_for_url(re.compile("conversation="))
                match = re.search(r"/\?conversation=([a-z]+-[a-z]+-\w{4}-\w{4})$", page.url)
                assert match is not None, page.url
                await expect(page.get_by_text(match[1])).to_be_visible()
                names.append(match[1])
        assert names[0] != names[1]


async def test_the_link_for_listeners_shows_captions_and_never_asks_for_a_microphone(
    fake_site: FakeService,
) -> None:
    await fake_site.publish_final("what was said before")
    async with chromium() as browser, visitor(browser, fake_site.url) as speaker:
        await speaker.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await speaker.get_by_role("button", name="Copy link for listeners").click()
        await expect(speaker.get_by_role("button", name="Link copied")).to_be_visible()
        link = await speaker.evaluate("navigator.clipboard.readText()")
        async with visitor(browser, link) as listener:
            await expect(finals(listener)).to_have_text(["what was said before"])
            assert await listener.evaluate("openedStreams.length") == 0
            await expect(listener.get_by_role("button", name="Start")).to_have_count(0)
            await listener.get_by_role("button", name="Speak in this conversation").click()
            await expect(listener.get_by_role("button", name="Start")).to_be_visible()


async def test_a_partial_is_revised_withdrawn_or_replaced_by_its_final(
    fake_site: FakeService,
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=test") as page,
    ):
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        await fake_site.broadcast(fake_site.partial("wreck a nice", "a"))
        await fake_site.broadcast(fake_site.partial("a cough", "b"))
        await expect(drafts(page)).to_have_text(["wreck a nice", "a cough"])
        await fake_site.broadcast(fake_site.partial("recognise", "a"))
        await fake_site.broadcast(fake_site.partial("", "b"))
        await expect(drafts(page)).to_have_text(["recognise"])
        style = "(element) => getComputedStyle(element).fontStyle"
        assert await drafts(page).evaluate(style) == "italic"

        await fake_site.publish_final("recognise speech", utterance="a")
        await fake_site.broadcast(fake_site.partial("too late", "a"))
        await fake_site.publish_final("the end")
        await expect(finals(page)).to_have_text(["recognise speech", "the end"])
        await expect(drafts(page)).to_have_count(0)
        assert await finals(page).first.evaluate(style) == "normal"
        # Only what is finished is read out.
        await expect(page.get_by_role("log")).to_contain_text("recognise speech")


async def test_reading_back_is_not_disturbed_until_the_reader_wants_the_latest(
    fake_site: FakeService,
) -> None:
    for number in range(60):
        await fake_site.publish_final(f"sentence {number}")
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=test") as page,
    ):
        await expect(page.get_by_text("sentence 59")).to_be_in_viewport()
        jump = page.get_by_role("button", name="Jump to latest")
        await expect(jump).to_have_count(0)
        await fake_site.publish_final("sentence 60")
        await expect(page.get_by_text("sentence 60")).to_be_in_viewport()

        await page.get_by_text("sentence 60").hover()
        await page.mouse.wheel(0, -1_500)
        await expect(jump).to_be_visible()
        await fake_site.publish_final("sentence 61")
        await expect(page.get_by_text("sentence 61")).to_be_attached()
        await expect(page.get_by_text("sentence 61")).not_to_be_in_viewport()

        await jump.click()
        await expect(page.get_by_text("sentence 61")).to_be_in_viewport()
        await expect(jump).to_have_count(0)
        await fake_site.publish_final("sentence 62")
        await expect(page.get_by_text("sentence 62")).to_be_in_viewport()


async def test_at_360_px_nothing_has_to_be_scrolled_sideways(fake_site: FakeService) -> None:
    await fake_site.publish_final("antidisestablishmentarianism" * 4, speaker="N" * 64)
    async with chromium() as browser, visitor(browser, fake_site.url, width=360) as page:
        await expect(finals(page)).to_have_count(1)
        widths = await page.evaluate(
            "[document.documentElement.scrollWidth,"
            " document.querySelector('[aria-label=Captions]').scrollWidth]"
        )
        assert max(widths) <= 360
        await expect(page.get_by_role("button", name="Start")).to_be_in_viewport()


async def test_an_invalid_link_is_explained(fake_site: FakeService) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=a%20b%2Fc") as page,
    ):
        await expect(page.get_by_role("heading")).to_have_text(
            "This link does not lead to a conversation."
        )
        await page.get_by_role("link", name="Start a new conversation").click()
        await expect(page.get_by_role("button", name="Start")).to_be_visible()


async def test_a_note_announces_earlier_captions_that_come_later(
    fake_site: FakeService,
) -> None:
    await fake_site.publish_final("before the page came")
    fake_site.complete = False
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=test") as page,
    ):
        notice = page.get_by_text("Earlier captions could not be loaded.")
        await expect(notice).to_be_visible()
        await fake_site.publish_final("since then")
        await fake_site.broadcast(fake_site.partial("at this moment", "open"))
        await expect(finals(page)).to_have_text(["since then"])

        fake_site.complete = True
        await expect(finals(page)).to_have_text(["before the page came", "since then"])
        await expect(drafts(page)).to_have_text(["at this moment"])
        await expect(notice).to_be_hidden()
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")


async def test_an_absence_longer_than_a_snapshot_reaches_leaves_a_visible_gap(
    fake_site: FakeService,
) -> None:
    async with (
        chromium() as browser,
        visitor(
            browser,
            f"{fake_site.url}/?conversation=test",
            expected_errors=["WebSocket connection to"],
        ) as page,
    ):
        await fake_site.publish_final("before")
        await expect(finals(page)).to_have_text(["before"])
        fake_site.cut()
        await page.evaluate("{ const now = Date.now; Date.now = () => now() + 600_000 }")
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        await fake_site.publish_final("after")
        await expect(finals(page)).to_have_text(["before", "after"])
        await expect(page.get_by_role("log")).to_contain_text(
            re.compile(
                "before.*This page was not connected .*may be missing here.*after", re.DOTALL
            )
        )


async def test_the_keyboard_reaches_everything_in_order_and_speaks(fake_site: FakeService) -> None:
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        reached = []
        for _ in range(7):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate(NAME_OF_FOCUS))
        assert reached == [
            "Smaller text",
            "Larger text",
            "Copy link for listeners",
            "Captions",
            "Your name",
            "Microphone",
            "Start",
        ]
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status", name="Microphone")).to_have_text("Listening")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Start")).to_be_visible()


NAME_OF_FOCUS = """
(() => {
  const { ariaLabel, labels, innerText } = document.activeElement
  return ariaLabel ?? labels?.[0]?.innerText ?? innerText
})()
"""
