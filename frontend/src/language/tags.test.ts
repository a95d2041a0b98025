import { expect, it } from 'vitest'

import { byName, directionOf, isReadable, languageName, languageTag, offeredAs } from './tags.ts'

it.each([
  ['fr', 'fr'],
  ['pt-PT', 'pt-PT'],
  ['FR', 'fr'],
  ['tl', 'tl'],
  ['', undefined],
  ['klingon', undefined],
  ['fr_FR', undefined],
  ['<b>', undefined],
])('takes %j for the tag %j', (text, tag) => {
  expect(languageTag(text)).toBe(tag)
})

it.each([
  ['en-GB', 'en', true],
  ['zh-CN', 'zh', true],
  ['zh-CN', 'zh-TW', false],
  ['en', 'fr', false],
  ['en-12', 'en-12', true],
])('who understands %j reads %j: %j', (language, wanted, readable) => {
  expect(isReadable(language, wanted)).toBe(readable)
})

it('names languages for who looks for his own, in the order of the names', () => {
  expect(byName(['de', 'fr', 'ar'], 'fr').map(({ name }) => name)).toEqual([
    'allemand',
    'arabe',
    'français',
  ])
  expect(languageName('a-bad-tag!', 'en')).toBe('a-bad-tag!')
})

it('knows what is written from right to left', () => {
  const found = ['ar', 'fa-AF', 'he', 'ur', 'arn', 'fr'].filter((tag) => directionOf(tag) === 'rtl')
  expect(found).toEqual(['ar', 'fa-AF', 'he', 'ur'])
})

it.each([
  ['fr-BE', 'fr'],
  ['zh-tw', 'zh-TW'],
  ['nb', undefined],
])('finds %j in the list as %j', (tag, offered) => {
  expect(offeredAs(tag, ['fr', 'zh', 'zh-TW'])).toBe(offered)
})
