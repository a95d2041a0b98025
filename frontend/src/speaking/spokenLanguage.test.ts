import { expect, it } from 'vitest'

import { chooseSpokenLanguage } from './spokenLanguage.ts'

const GERMAN = ['de-CH', 'de-DE', 'fr-CA']
const OFFERED = [...GERMAN, 'en-GB', 'en-US']
/** The embedded engine's: one model of English. */
const ENGLISH = ['en-AU', 'en-GB', 'en-IE', 'en-IN', 'en-NZ', 'en-US', 'en-ZA']

it.each([
  ['the previous choice', OFFERED, 'fr-CA', 'de-DE', 'fr-CA'],
  ["the service's default", OFFERED, '', 'de-DE', 'en-US'],
  ["the service's default for a choice that is gone", OFFERED, 'nb-NO', 'de-DE', 'en-US'],
  ['the previous variant of English', ENGLISH, 'en-GB', 'en-US', 'en-GB'],
  ["the service's default of the variants", ENGLISH, '', 'en-GB', 'en-US'],
  ["the browser's language", GERMAN, '', 'de-CH', 'de-CH'],
  ['the likely region of a language', GERMAN, '', 'de', 'de-DE'],
  ['another region of the same language', GERMAN, '', 'fr-FR', 'fr-CA'],
  ['the first offered', GERMAN, '', 'nb-NO', 'de-CH'],
  ['the first offered for a browser without a language', GERMAN, '', '', 'de-CH'],
])('chooses %s', (_, offered, remembered, browser, tag) => {
  expect(chooseSpokenLanguage(offered, remembered, browser)).toBe(tag)
})

it('leaves the choice to the server where the engine takes any language', () => {
  expect(chooseSpokenLanguage([], 'fr-FR', 'de-DE')).toBeUndefined()
})
