"""The page whose lines break, with a service that resumes streams and gives positions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import chromium, finals, find_barriers, open_microphones, visitor
from tests.support.eventually import eventually
from tests.support.fake_service import SENTENCE, PlannedRefusal, fake_service
from tests.support.resuming_service import ResumingService, Stream
from transcripts.protocol import ErrorCode

pytestmark = pytest.mark.browser

#: Chromium reports every connection that fails.
NETWORK = ["WebSocket connection to"]


@pytest.fixture
async def service() -> AsyncIterator[ResumingService]:
    """Give a service whose faults the test chooses."""
    service = ResumingService()
    async with fake_service(service):
        yield service


async def _start(page: Page, service: ResumingService) -> Stream:
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("status", name="Microphone")).to_have_text("Listening")
    await expect(finals(page).first).to_have_text(SENTENCE)
    (stream,) = service.streams
    return stream


async def _stop(page: Page) -> None:
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("button", name="Start")).to_be_visible()


async def _come_back(page: Page, service: ResumingService) -> None:
    service.reachable = True
    await page.evaluate("window.dispatchEvent(new Event('online'))")


async def test_a_task_that_dies_costs_no_word_and_repeats_none(service: ResumingService) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{service.url}/?conversation=test", expected_errors=NETWORK) as page,
    ):
        stream = await _start(page, service)
        status = page.get_by_role("status", name="Microphone")
        service.reachable = False
        service.lose_task()
        await expect(status).to_have_text("Connecting again")
        await expect(page.get_by_text("of speech are kept, nothing is lost")).to_be_visible()
        await expect(page.get_by_text("Keep speaking")).to_be_visible()
        assert await find_barriers(page) == []

        await _come_back(page, service)
        await expect(status).to_have_text("Listening")
        await expect(page.get_by_text("Keep speaking")).to_be_hidden()
        await _stop(page)

        assert service.streams == [stream]
        texts = await finals(page).all_text_contents()
        expected = int(len(stream.audio) / 32_000 / 0.2)
        assert len(" ".join(texts).split()) == expected
        assert await page.get_by_text("could not be sent").count() == 0


async def test_a_dead_line_is_replaced_though_nothing_closes_it(service: ResumingService) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{service.url}/?conversation=test", expected_errors=NETWORK) as page,
    ):
        stream = await _start(page, service)
        service.reachable = False
        service.kill_lines()
        status = page.get_by_role("status", name="Microphone")
        connection = page.get_by_role("status", name="Connection")
        await expect(status).to_have_text("Connecting again")
        await expect(connection).to_have_text("Connecting again")
        await _come_back(page, service)
        await expect(status).to_have_text("Listening")
        await expect(connection).to_have_text("Live")
        await _stop(page)
        assert service.since is not None
        assert len(" ".join(await finals(page).all_text_contents()).split()) == int(
            len(stream.audio) / 32_000 / 0.2
        )


async def test_the_last_words_are_sent_although_the_line_was_down_at_the_stop(
    service: ResumingService,
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{service.url}/?conversation=test", expected_errors=NETWORK) as page,
    ):
        stream = await _start(page, service)
        service.reachable = False
        service.cut()
        status = page.get_by_role("status", name="Microphone")
        await expect(status).to_have_text("Connecting again")
        received = len(stream.audio)
        await page.get_by_role("button", name="Stop").click()
        await expect(status).to_have_text("Microphone off, connecting again")
        await eventually(lambda: _microphones_are_closed(page), "a closed microphone")
        assert await find_barriers(page) == []

        await _come_back(page, service)
        await expect(page.get_by_role("button", name="Start")).to_be_visible()
        assert service.stops == 1
        assert len(stream.audio) > received + 32_000


async def _microphones_are_closed(page: Page) -> bool:
    return await open_microphones(page) == 0


async def test_whoever_does_not_wait_for_the_last_words_reads_what_is_missing(
    service: ResumingService,
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{service.url}/?conversation=test", expected_errors=NETWORK) as page,
    ):
        await _start(page, service)
        service.reachable = False
        service.cut()
        await expect(page.get_by_text("of speech are kept, nothing is lost")).to_be_visible()
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_role("button", name="Do not wait for the last words").click()
        await expect(page.get_by_role("alert").first).to_contain_text("did not confirm the end")
        await expect(page.get_by_text("of speech could not be sent")).to_be_visible()
        await expect(page.get_by_role("button", name="Start")).to_be_visible()


async def test_a_full_service_keeps_a_speaker_s_words_in_the_middle_of_a_stream(
    service: ResumingService,
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{service.url}/?conversation=test", expected_errors=NETWORK) as page,
    ):
        stream = await _start(page, service)
        service.refusals = [PlannedRefusal(ErrorCode.AT_CAPACITY, retry_after=2)]
        service.cut()
        await expect(page.get_by_text("Every captioning slot is in use.")).to_be_visible()
        await expect(page.get_by_text("of speech are kept, nothing is lost")).to_be_visible()
        status = page.get_by_role("status", name="Microphone")
        await expect(status).to_have_text("Listening")
        await _stop(page)
        assert service.streams == [stream]
        assert stream.continues[-1].sample > 0


async def test_a_page_that_is_left_ends_its_stream(service: ResumingService) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{service.url}/?conversation=test", expected_errors=NETWORK) as page,
    ):
        await _start(page, service)
        await page.goto("about:blank")
        await eventually(lambda: service.stops == 1, "the stop")


async def test_a_viewer_goes_on_from_the_last_position(service: ResumingService) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{service.url}/?conversation=test", expected_errors=NETWORK) as page,
    ):
        connection = page.get_by_role("status", name="Connection")
        await expect(connection).to_have_text("Live")
        await service.publish_final("one")
        await expect(finals(page)).to_have_text(["one"])
        await asyncio.sleep(1.2)  # a heartbeat with the position behind it
        service.reachable = False
        service.cut()
        await expect(connection).to_have_text("Connecting again")
        await expect(page.get_by_role("timer", name="Time without captions")).to_be_visible()
        await service.publish_final("two")
        service.reachable = True
        await expect(connection).to_have_text("Live")
        assert service.since == "1"
        await service.publish_final("three")
        await expect(finals(page)).to_have_text(["one", "two", "three"])


@pytest.mark.parametrize("anchors", ["by the browser", "by the page, as in Safari"])
async def test_a_late_final_takes_its_place_without_moving_the_reader(
    service: ResumingService, anchors: str
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{service.url}/?conversation=test") as page,
    ):
        if anchors.startswith("by the page"):
            await page.evaluate(
                "CSS.supports = () => false;"
                "document.querySelector('[tabindex=\"0\"]').style.overflowAnchor = 'none';"
            )
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        for number in range(40):
            await service.publish_final(f"sentence {number}")
        await expect(finals(page)).to_have_count(40)
        captions = page.get_by_role("region", name="Captions")
        await captions.hover()
        await page.mouse.wheel(0, -600)
        await expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
        await page.wait_for_function(
            "() => new Promise((done) => { const box = document.querySelector('[tabindex=\"0\"]');"
            "const top = box.scrollTop; setTimeout(() => done(box.scrollTop === top), 200) })"
        )
        read = page.get_by_text("sentence 25", exact=True)
        before = await read.bounding_box()
        late = service.final("late")
        early = late.timestamp - timedelta(hours=1)
        await service.broadcast(late.model_copy(update={"timestamp": early}))
        await expect(finals(page).first).to_have_text("late")
        after = await read.bounding_box()
        assert before is not None
        assert after is not None
        assert after["y"] == pytest.approx(before["y"], abs=1)
