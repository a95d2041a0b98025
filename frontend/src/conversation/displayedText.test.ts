import { describe, expect, it } from 'vitest'

import { findRest, chooseDisplayedText } from './displayedText.ts'

it.each([
  ['the weather', 'the weather will be', 'will be'],
  ['the weather', 'The weather, will be', 'will be'],
  ['the weather', 'the weather', ''],
  ['the weather will bee', 'the weather will be cold', 'cold'],
  ['go', 'going', undefined],
  ['wreck a nice', 'recognise speech today', undefined],
  ['the weather will', 'the weather', ''],
  ['今日は', '今日はいい天気', 'いい天気'],
])('after %j, %j has the rest %j', (source, text, rest) => {
  expect(findRest(source, text)).toBe(rest)
})

describe('the displayed text', () => {
  const original = { text: 'colour', language: 'en-GB' }

  it('is the original for a reader of its language, or without a language', () => {
    expect(chooseDisplayedText(original, undefined, false).state).toBe('original')
    expect(chooseDisplayedText(original, 'en', true).state).toBe('original')
  })

  it('is marked by whether a translation may still arrive', () => {
    expect(chooseDisplayedText(original, 'fr', true).state).toBe('awaited')
    expect(chooseDisplayedText(original, 'fr', false).state).toBe('missing')
  })

  it("is the original where the translator found it to be in the reader's language", () => {
    const same = { text: 'salut', language: 'en-US' }
    const main = { text: 'salut', language: 'fr' }
    const original = { state: 'original', main }
    expect(chooseDisplayedText({ ...same, translations: { fr: main } }, 'fr', false)).toEqual(
      original,
    )
    const partialTranslation = { ...main, seq: 1, source: 'salut' }
    expect(
      chooseDisplayedText({ ...same, text: 'salut toi', partialTranslation }, 'fr', true),
    ).toEqual({
      state: 'original',
      main: { text: 'salut toi', language: 'fr' },
    })
  })

  it('has a language for each part', () => {
    const partialTranslation = { text: 'le', language: 'fr', seq: 1, source: 'the' }
    expect(
      chooseDisplayedText({ text: 'the red', language: 'en', partialTranslation }, 'fr', true),
    ).toEqual({
      state: 'translated',
      main: { text: 'le', language: 'fr' },
      rest: { text: 'red', language: 'en' },
    })
  })
})
