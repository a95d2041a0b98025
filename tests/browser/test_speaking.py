"""The page as its speakers meet it."""

from __future__ import annotations

from typing import get_args

import pytest
from playwright.async_api import expect

from speech.engines.names import EMBEDDED_LANGUAGES
from speech.transcribe_values import LanguageCode
from tests.support.browser import chromium, visitor
from tests.support.fake_service import FakeService

pytestmark = pytest.mark.browser


async def test_a_speaker_chooses_a_language_that_the_engine_recognises(
    fake_site: FakeService,
) -> None:
    fake_site.languages["recognition"] = ["de-CH", "de-DE", "en-US"]
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        choice = page.get_by_label("You speak")
        await expect(choice).to_have_value("en-US")
        await choice.select_option("de-CH")
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("status", name="Microphone")).to_have_text("Listening")
        await expect(choice).to_be_disabled()
        assert fake_site.spoken == ["de-CH"]

        await page.reload()
        await expect(choice).to_have_value("de-CH")


async def test_a_speaker_of_english_chooses_the_variant_by_its_name(
    fake_site: FakeService,
) -> None:
    fake_site.languages["recognition"] = sorted(EMBEDDED_LANGUAGES["moonshine"])
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        choice = page.get_by_label("You speak")
        await expect(choice).to_have_value("en-US")
        await choice.select_option("British English")
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("status", name="Microphone")).to_have_text("Listening")

        assert fake_site.spoken == ["en-GB"]


async def test_at_360_px_the_choice_needs_no_scrolling_sideways(fake_site: FakeService) -> None:
    fake_site.languages["recognition"] = list(get_args(LanguageCode))
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        for width in (360, 1_024):
            await page.set_viewport_size({"width": width, "height": 640})
            await expect(page.get_by_label("You speak")).to_be_in_viewport()
            await expect(page.get_by_role("button", name="Start")).to_be_in_viewport()
            assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_the_state_has_room_beside_a_choice_of_languages(fake_site: FakeService) -> None:
    fake_site.languages["recognition"] = sorted(EMBEDDED_LANGUAGES["moonshine"])
    fake_site.languages["note"] = "English only, recognised on this server by a small model"
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        state = page.get_by_role("status", name="Microphone").locator("..")
        for width in (360, 768, 1_000, 1_280, 1_440):
            await page.set_viewport_size({"width": width, "height": 720})
            box = await state.bounding_box()
            assert box is not None
            assert box["height"] < 60, width  # three lines of 19 px


async def test_there_is_no_choice_of_one_language(fake_site: FakeService) -> None:
    async with chromium() as browser, visitor(browser, fake_site.url) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("status", name="Microphone")).to_have_text("Listening")

        assert fake_site.spoken == ["en-US"]
        await expect(page.get_by_label("You speak")).to_have_count(0)
