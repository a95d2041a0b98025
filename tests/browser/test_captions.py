"""One browser speaks, another one reads: the whole way through the real service."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.browser import chromium, drafts, finals, open_microphones, speech, visitor
from tests.support.recordings import normalised

pytestmark = pytest.mark.browser

TEXT = (
    "The weather will be cold and rainy in the morning, but the sun will come out in the afternoon."
)


async def test_speech_in_one_browser_is_read_in_another(site: str, tmp_path: Path) -> None:
    # The silence is for the time between opening the device and admission.
    audio = speech(TEXT, tmp_path / "speech.wav", silence=0.5)
    address = f"{site}/?conversation=browser-test"
    async with (
        chromium(microphone=audio) as browser,
        visitor(browser, address) as speaker,
        visitor(browser, f"{address}&listen") as listener,
    ):
        await expect(listener.get_by_role("status", name="Connection")).to_have_text("Live")

        await speaker.get_by_label("Your name").fill("Grace")
        await speaker.get_by_role("button", name="Start").click()
        await expect(speaker.get_by_role("status", name="Microphone")).to_have_text("Listening")
        await expect(drafts(listener).first).to_be_visible(timeout=20_000)
        await expect(finals(listener).first).to_be_visible(timeout=20_000)
        await expect(finals(listener).last).to_contain_text("afternoon", timeout=20_000)

        await speaker.get_by_role("button", name="Stop").click()
        await expect(speaker.get_by_role("button", name="Start")).to_be_visible(timeout=15_000)
        await expect(speaker.get_by_role("alert")).to_have_count(0)
        assert await open_microphones(speaker) == 0

        await expect(drafts(listener)).to_have_count(0)
        read = await finals(listener).all_text_contents()
        assert await finals(speaker).all_text_contents() == read
        spoken = set(normalised(TEXT).split())
        assert len(spoken & set(normalised(" ".join(read)).split())) >= 0.7 * len(spoken)
        await expect(listener.get_by_text("Grace").first).to_be_visible()

        # Then: whoever comes late reads it too.
        async with visitor(browser, f"{address}&listen") as late:
            await expect(finals(late)).to_have_text(read)
            await expect(late.get_by_text("more than two minutes before you came")).to_be_visible()
        await expect(listener.get_by_text("more than two minutes before you came")).to_have_count(0)
