import { expect, it } from 'vitest'

import {
  sortByName,
  chooseDirection,
  isAllowed,
  isReadable,
  nameLanguage,
  parseTag,
  findOffered,
} from './tags.ts'

it.each([
  ['fr', 'fr'],
  ['pt-PT', 'pt-PT'],
  ['FR', 'fr'],
  ['tl', 'tl'],
  ['', undefined],
  ['klingon', undefined],
  ['fr_FR', undefined],
  ['<b>', undefined],
])('parses %j as the tag %j', (text, tag) => {
  expect(parseTag(text)).toBe(tag)
})

it.each([
  ['en-GB', 'en', true],
  ['zh-CN', 'zh', true],
  ['zh-CN', 'zh-TW', false],
  ['en', 'fr', false],
  ['en-12', 'en-12', true],
])('text in %j is readable for a reader of %j: %j', (language, wanted, readable) => {
  expect(isReadable(language, wanted)).toBe(readable)
})

it("names languages in the reader's language, sorted by name", () => {
  expect(sortByName(['de', 'fr', 'ar'], 'fr').map(({ name }) => name)).toEqual([
    'allemand',
    'arabe',
    'français',
  ])
  expect(nameLanguage('a-bad-tag!', 'en')).toBe('a-bad-tag!')
})

it('finds the languages that are written from right to left', () => {
  const found = ['ar', 'fa-AF', 'he', 'ur', 'arn', 'fr'].filter(
    (tag) => chooseDirection(tag) === 'rtl',
  )
  expect(found).toEqual(['ar', 'fa-AF', 'he', 'ur'])
})

it.each([
  ['fr-BE', 'fr'],
  ['zh-tw', 'zh-TW'],
  ['nb', undefined],
])('finds %j in the offered languages as %j', (tag, offered) => {
  expect(findOffered(tag, ['fr', 'zh', 'zh-TW'])).toBe(offered)
})

it.each([
  ['de-AT', true],
  ['DE', true],
  ['den', false],
  ['fr', false],
])('of a link for `de` and `fr-CA`, %j is allowed: %j', (tag, expected) => {
  expect(isAllowed(tag, ['de', 'fr-CA'])).toBe(expected)
  expect(isAllowed(tag, undefined)).toBe(true)
})
