"""Captions in a language that was not spoken, and who of several people spoke."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import chromium, drafts, finals, visitor
from tests.support.fake_service import FakeService
from transcripts.models import Word
from transcripts.protocol import Final, Partial, Translation, TranslationStatus
from translation.pseudo import pseudo

pytestmark = pytest.mark.browser

TRIAL = "Trial only: another language marks the words and does not translate them"


@pytest.fixture
async def fake_site(fake_site: FakeService) -> FakeService:
    """Let the fake service have a translator."""
    fake_site.languages |= {"translation": ["fr", "ar"], "translator": "amazon"}
    return fake_site


def choice(page: Page) -> Locator:
    """Return the choice of a language."""
    return page.get_by_label("Captions in")


def translation(of: Partial | Final, text: str, *, language: str = "fr") -> Translation:
    """Return the translation of a message."""
    return Translation(
        conversation_id=of.conversation_id,
        utterance_id=of.utterance_id,
        source_language=of.language,
        language=language,
        text=text,
        is_final=isinstance(of, Final),
        seq=of.seq,
    )


async def test_speech_in_one_browser_is_read_in_french_in_another_and_by_the_speaker(
    translated_site: str,
) -> None:
    address = f"{translated_site}/?conversation=browser-test"
    async with (
        chromium() as browser,
        visitor(browser, address) as speaker,
        visitor(browser, f"{address}&language=fr&listen") as listener,
    ):
        await expect(choice(listener)).to_have_value("fr")
        names = await choice(speaker).locator("option").all_text_contents()
        assert names == ["Original", *(f"{n} (trial)" for n in ("Arabic", "French", "German"))]
        await expect(choice(listener)).to_have_accessible_description(TRIAL)
        await expect(speaker.get_by_text(TRIAL)).to_be_visible()
        await expect(speaker.get_by_text("If anything was said more than two")).to_be_visible()

        await speaker.get_by_role("button", name="Start").click()
        await expect(finals(listener).first).to_have_attribute("lang", "fr", timeout=20_000)
        original = await finals(speaker).first.text_content() or ""
        await expect(finals(listener).first).to_have_text(pseudo(original, "fr"))

        # Then: the speaker reads it, too, without a break in the stream, and so does who gets
        # the link.
        await choice(speaker).select_option("fr")
        await expect(finals(speaker).first).to_have_text(pseudo(original, "fr"))
        await expect(speaker.get_by_role("status", name="Microphone")).to_have_text("Listening")
        await speaker.get_by_label("with originals").check()
        await expect(speaker.locator("[data-state=final] [lang=en-US]").first).to_have_text(
            original
        )
        await speaker.get_by_role("button", name="Stop").click()
        await expect(speaker.get_by_role("button", name="Start")).to_be_visible(timeout=15_000)
        # Granting these takes the microphone away.
        await speaker.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await speaker.get_by_role("button", name="Copy link for listeners").click()
        link = await speaker.evaluate("navigator.clipboard.readText()")
        assert "language=fr" in link

        # Then: the choice is remembered where the address names none.
        await speaker.goto(address)
        await expect(choice(speaker)).to_have_value("fr")
        await expect(speaker.get_by_label("with originals")).to_be_checked()
        await choice(speaker).select_option("Original")
        await expect(finals(speaker).first).to_have_text(original)
        assert "language" not in speaker.url


async def test_a_link_with_a_language_that_is_not_offered_warns_and_shows_the_originals(
    translated_site: str,
) -> None:
    for language in ("cy", "no such thing"):
        address = f"{translated_site}/?conversation=refused&language={language}"
        async with chromium() as browser, visitor(browser, address) as page:
            notice = page.get_by_role("alert")
            await expect(notice).to_contain_text("There are no captions in")
            await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
            await expect(choice(page)).to_have_value("")
            await choice(page).select_option("German (trial)")
            await expect(notice).to_have_count(0)


async def test_without_a_translator_there_is_no_choice(fake_site: FakeService) -> None:
    fake_site.languages |= {"translation": [], "translator": None}
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=test") as page,
    ):
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        await expect(choice(page)).to_have_count(0)


async def test_translations_come_late_and_hide_nothing_that_is_newer(
    fake_site: FakeService,
) -> None:
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=test&language=ar") as page,
    ):
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        early = fake_site.partial("the weather", "a")
        await fake_site.broadcast(early)
        await expect(drafts(page)).to_have_attribute("lang", "en-US")
        await fake_site.broadcast(fake_site.partial("the weather will be", "a"))
        await fake_site.broadcast(translation(early, "الطقس", language="ar"))
        await expect(drafts(page)).to_have_text("الطقس will be")
        await expect(drafts(page)).to_have_attribute("dir", "rtl")
        await expect(drafts(page).locator("[lang=en-US]")).to_have_text("will be")

        final = fake_site.final("the weather will be cold", utterance="a")
        await fake_site.broadcast(final)
        await expect(finals(page)).to_have_text("الطقس will be cold")
        spoken = page.get_by_role("log", name="Newest captions")
        await expect(spoken).to_have_text("")
        await fake_site.broadcast(translation(final, "سيكون الطقس باردا", language="ar"))
        await expect(finals(page)).to_have_text("سيكون الطقس باردا")
        await expect(spoken).to_have_text("Ada: سيكون الطقس باردا")

        status = {"conversation_id": "test", "language": "ar"}
        missing = page.get_by_text("Some translations are missing")
        await fake_site.broadcast(TranslationStatus(**status, state="failing"))
        await expect(missing).to_be_visible()
        await expect(page.get_by_role("alert")).to_have_count(0)
        await fake_site.broadcast(TranslationStatus(**status, state="ok"))
        await expect(missing).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_words_that_may_change_are_lighter_but_legible(
    fake_site: FakeService, scheme: str
) -> None:
    words = tuple(
        Word(word=word, start_time=0, end_time=1, confidence=1) for word in ("So", "far", "good")
    )
    async with (
        chromium() as browser,
        visitor(browser, f"{fake_site.url}/?conversation=test", dark=scheme == "dark") as page,
    ):
        await expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
        stable = {"words": words, "stable_words": 2, "speaker_label": "spk_0"}
        guess = fake_site.partial("So far, good", "a").model_copy(update=stable)
        await fake_site.broadcast(guess)
        await fake_site.broadcast(
            fake_site.partial("as ever", "b").model_copy(update={"channel": 1})
        )
        await expect(drafts(page)).to_have_text(["So far, good", "as ever"])
        assert await drafts(page).first.locator("span").all_text_contents() == ["So far"]
        sure, unsure, plain = [
            await element.evaluate(CONTRAST)
            for element in (drafts(page).first.locator("span"), *(await drafts(page).all()))
        ]
        assert sure > unsure == plain >= 4.5

        who = page.locator("[data-state=draft] > p:first-child > span")
        await expect(who).to_have_text(["Ada · speaker 1", "Ada · right"])


async def test_at_360_px_translations_need_no_scrolling_sideways(fake_site: FakeService) -> None:
    final = fake_site.final("antidisestablishmentarianism" * 4, speaker="N" * 64)
    await fake_site.broadcast(final.model_copy(update={"speaker_label": "spk_0"}))
    address = f"{fake_site.url}/?conversation=test&language=fr"
    async with chromium() as browser, visitor(browser, address, width=360) as page:
        await page.get_by_label("with originals").check()
        await expect(finals(page)).to_have_count(1)
        widths = await page.evaluate(
            "[document.documentElement.scrollWidth,"
            " document.querySelector('[aria-label=Captions]').scrollWidth]"
        )
        assert max(widths) <= 360
        await expect(page.get_by_text("· speaker 1")).to_be_in_viewport()


#: Of an element's text on the page's paper; WCAG 2.2, "contrast ratio".
CONTRAST = """
(element) => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const both = [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor]
  const [dark, light] = both.map(luminance).sort((a, b) => a - b)
  return (light + 0.05) / (dark + 0.05)
}
"""
