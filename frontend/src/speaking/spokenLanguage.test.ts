import { expect, it } from 'vitest'

import { spokenAtFirst } from './spokenLanguage.ts'

const GERMAN = ['de-CH', 'de-DE', 'fr-CA']
const OFFERED = [...GERMAN, 'en-GB', 'en-US']

it.each([
  ['what was chosen last time', OFFERED, 'fr-CA', 'de-DE', 'fr-CA'],
  ["the service's default", OFFERED, '', 'de-DE', 'en-US'],
  ["the service's default for a choice that is gone", OFFERED, 'nb-NO', 'de-DE', 'en-US'],
  ["the browser's language", GERMAN, '', 'de-CH', 'de-CH'],
  ['the likely region of a language', GERMAN, '', 'de', 'de-DE'],
  ['another region of the same language', GERMAN, '', 'fr-FR', 'fr-CA'],
  ['what there is', GERMAN, '', 'nb-NO', 'de-CH'],
  ['what there is for a browser without a language', GERMAN, '', '', 'de-CH'],
])('begins with %s', (_, offered, remembered, browser, tag) => {
  expect(spokenAtFirst(offered, remembered, browser)).toBe(tag)
})

it('leaves it to the server where there is any', () => {
  expect(spokenAtFirst([], 'fr-FR', 'de-DE')).toBeUndefined()
})
