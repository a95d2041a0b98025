"""The page while the service or the browser fails it."""

from __future__ import annotations

import asyncio
import re
from functools import partial

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import chromium, drafts, finals, open_microphones, visitor
from tests.support.eventually import eventually
from tests.support.fake_service import SENTENCE, FakeService, PlannedRefusal
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.browser

#: Chromium reports every connection that fails.
NETWORK = ["WebSocket connection to"]


async def test_speaking_on_a_page_under_a_strict_policy_sends_16_khz_without_a_gap(
    fake_site: FakeService,
) -> None:
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        await page.get_by_label("Your name").fill("Grace")
        await page.get_by_role("button", name="Start").click()
        await expect(finals(page).first).to_have_text(SENTENCE)
        await expect(page.get_by_text("Words from a script")).to_be_visible()
        await expect(page.get_by_text("Grace").first).to_be_visible()

        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("button", name="Start")).to_be_visible()

        assert fake_site.stops == 1
        assert await open_microphones(page) == 0
        assert await drafts(page).count() == 0
        (audio,) = fake_site.audio
        seconds = len(audio) / 32_000
        expected = int(seconds / 0.2)
        words = " ".join(await finals(page).all_text_contents()).split()
        assert len(words) == expected


async def test_a_full_service_shows_a_countdown_and_is_entered_when_it_ends(
    fake_site: FakeService,
) -> None:
    fake_site.refusals = [PlannedRefusal(ErrorCode.AT_CAPACITY, retry_after=3)]
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_text("Every captioning slot is in use.")).to_be_visible()
        await expect(page.get_by_role("timer")).to_have_text(re.compile("Trying again in [123] s"))
        await expect(page.get_by_role("status", name="Microphone")).to_have_text(
            "Waiting for the server"
        )
        await expect(page.get_by_role("status", name="Microphone")).to_have_text("Listening")
        await expect(page.get_by_text("Every captioning slot is in use.")).to_be_hidden()


async def test_a_lost_connection_comes_back_without_doubled_or_lost_captions(
    fake_site: FakeService,
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=test", expected_errors=NETWORK) as page,
    ):
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        await fake_site.publish_final("one")
        await fake_site.broadcast(fake_site.partial("an open guess", "never-ending"))
        await expect(drafts(page)).to_have_text(["an open guess"])

        fake_site.reachable = False
        fake_site.cut()
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Connecting again")
        await expect(page.get_by_text("The connection to the server was lost.")).to_be_visible()
        await expect(finals(page)).to_have_text(["one"])
        await fake_site.publish_final("two, while the page was away")
        fake_site.reachable = True

        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        await fake_site.publish_final("three")
        await expect(finals(page)).to_have_text(["one", "two, while the page was away", "three"])
        await expect(drafts(page)).to_have_count(0)
        await expect(page.get_by_text("The connection to the server was lost.")).to_be_hidden()


async def test_a_viewer_who_was_too_slow_or_whose_server_goes_is_back_by_itself(
    fake_site: FakeService,
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=test") as page,
    ):
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        await fake_site.publish_final("one")
        for code in (ErrorCode.SLOW_CONSUMER, ErrorCode.DRAINING):
            before = fake_site.views
            await fake_site.refuse_viewers(code)
            await eventually(partial(_is_more, fake_site, before), "another connection")
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        await expect(finals(page)).to_have_text(["one"])


def _is_more(service: FakeService, views: int) -> bool:
    return service.views > views


async def test_a_speaker_whose_stream_is_cut_goes_on_and_loses_no_sound(
    fake_site: FakeService,
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, fake_site.url, expected_errors=NETWORK) as page,
    ):
        await page.get_by_role("button", name="Start").click()
        status = page.get_by_role("status", name="Microphone")
        await expect(status).to_have_text("Listening")

        fake_site.reachable = False
        fake_site.cut()
        await expect(status).to_have_text("Waiting for the server")
        await asyncio.sleep(1)  # speech that has to wait
        fake_site.reachable = True
        await expect(status).to_have_text("Listening")
        await eventually(lambda: len(fake_site.audio) == 2, "a second stream")
        # What was spoken meanwhile comes at once, not at the pace of speech.
        await eventually(lambda: len(fake_site.audio[1]) > 32_000, "the kept sound", within=2)

        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("button", name="Start")).to_be_visible()
        await expect(page.get_by_text("could not be sent")).to_have_count(0)
        assert await open_microphones(page) == 0


async def test_a_blocked_microphone_is_explained(fake_site: FakeService) -> None:
    async with chromium(allow=False) as browser, visitor(browser, fake_site.url) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("alert")).to_contain_text("The microphone is blocked")
        await expect(page.get_by_role("button", name="Start")).to_be_enabled()
        assert fake_site.audio == []


async def test_a_missing_microphone_is_reported(fake_site: FakeService) -> None:
    async with chromium(connected=False) as browser, visitor(browser, fake_site.url) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("alert")).to_contain_text("No microphone was found.")


async def test_without_https_the_page_explains_what_the_microphone_needs(
    fake_site: FakeService,
) -> None:
    flags = ["--host-resolver-rules=MAP captions.test 127.0.0.1"]
    url = fake_site.url.replace("127.0.0.1", "captions.test")
    async with chromium(flags=flags) as browser, visitor(browser, url) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("alert")).to_contain_text("needs a secure connection")
        # Reading works all the same.
        await fake_site.publish_final("for everybody")
        await expect(finals(page)).to_have_text(["for everybody"])


async def test_a_microphone_that_is_pulled_out_ends_the_stream_in_order(
    fake_site: FakeService,
) -> None:
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(drafts(page).first).to_be_visible()
        await page.evaluate(
            "openedStreams[0].getTracks()[0].dispatchEvent(new Event('ended'))",
        )
        await expect(page.get_by_role("alert")).to_contain_text("The microphone was disconnected.")
        await expect(page.get_by_role("button", name="Start")).to_be_visible()
        assert fake_site.stops == 1
        await expect(drafts(page)).to_have_count(0)


async def test_another_microphone_is_taken_in_the_middle_of_a_stream(
    fake_site: FakeService,
) -> None:
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        select = page.get_by_label("Microphone", exact=True)
        await page.get_by_role("button", name="Start").click()
        await expect(drafts(page).first).to_be_visible()
        names = await select.locator("option").all_text_contents()
        assert names == ["Default microphone", "Fake Audio Input 1", "Fake Audio Input 2"]

        await select.select_option("Fake Audio Input 2")
        await eventually(partial(_has_switched, page), "the other microphone")
        received = len(fake_site.audio[0])
        await eventually(lambda: len(fake_site.audio[0]) > received + 32_000, "more sound")
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("button", name="Start")).to_be_visible()
        assert await open_microphones(page) == 0
        assert len(fake_site.audio) == fake_site.stops == 1


async def _has_switched(page: Page) -> bool:
    opened = await page.evaluate("openedStreams.length")
    return bool(opened == 2) and await open_microphones(page) == 1


async def test_the_screen_stays_on_while_the_page_listens_and_no_longer(
    fake_site: FakeService,
) -> None:
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        await page.evaluate(
            "window.locks = 0;"
            "navigator.wakeLock.request = async () => {"
            "  locks += 1; return { release: async () => { locks -= 1 } } };"
            "undefined"  # Playwright calls a result that is a function
        )
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("status", name="Microphone")).to_have_text("Listening")
        assert await page.evaluate("locks") == 1
        await page.get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("button", name="Start")).to_be_visible()
        assert await page.evaluate("locks") == 0


async def test_the_lag_of_an_engine_is_shown(fake_site: FakeService) -> None:
    fake_site.lag = 4.2
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_text("Captions are 4 s behind")).to_be_visible()


async def test_a_permanent_refusal_releases_the_microphone(
    fake_site: FakeService,
) -> None:
    fake_site.refusals = [PlannedRefusal(ErrorCode.INVALID_PARAMETER)]
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("alert")).to_contain_text("did not accept the name")
        await expect(page.get_by_role("button", name="Start")).to_be_enabled()
        assert await open_microphones(page) == 0
