import { describe, expect, it } from 'vitest'

import { restOf, shownOf } from './displayedText.ts'

it.each([
  ['the weather', 'the weather will be', 'will be'],
  ['the weather', 'The weather, will be', 'will be'],
  ['the weather', 'the weather', ''],
  ['the weather will bee', 'the weather will be cold', 'cold'],
  ['go', 'going', undefined],
  ['wreck a nice', 'recognise speech today', undefined],
  ['the weather will', 'the weather', ''],
  ['今日は', '今日はいい天気', 'いい天気'],
])('after %j %j has said %j more', (source, text, rest) => {
  expect(restOf(source, text)).toBe(rest)
})

describe('what is shown', () => {
  const said = { text: 'colour', language: 'en-GB' }

  it('is the original for who reads its language, or none in particular', () => {
    expect(shownOf(said, undefined, false).state).toBe('original')
    expect(shownOf(said, 'en', true).state).toBe('original')
  })

  it('says whether a translation may still come', () => {
    expect(shownOf(said, 'fr', true).state).toBe('awaited')
    expect(shownOf(said, 'fr', false).state).toBe('missing')
  })

  it('is the original where that turned out to be in the language that is read', () => {
    const same = { text: 'salut', language: 'en-US' }
    const main = { text: 'salut', language: 'fr' }
    const original = { state: 'original', main }
    expect(shownOf({ ...same, translations: { fr: main } }, 'fr', false)).toEqual(original)
    const rendering = { ...main, seq: 1, source: 'salut' }
    expect(shownOf({ ...same, text: 'salut toi', rendering }, 'fr', true)).toEqual({
      state: 'original',
      main: { text: 'salut toi', language: 'fr' },
    })
  })

  it('keeps each part in its language', () => {
    const rendering = { text: 'le', language: 'fr', seq: 1, source: 'the' }
    expect(shownOf({ text: 'the red', language: 'en', rendering }, 'fr', true)).toEqual({
      state: 'translated',
      main: { text: 'le', language: 'fr' },
      rest: { text: 'red', language: 'en' },
    })
  })
})
