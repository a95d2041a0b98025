import { describe, expect, it } from 'vitest'

import {
  byName,
  directionOf,
  isReadable,
  languageIn,
  languageName,
  languageTag,
  offeredAs,
  withLanguage,
} from './tags.ts'

describe('the address', () => {
  const PAGE = 'https://captions.example/?conversation=a%3Ab&listen='

  it('carries the language beside the rest, and loses it again', () => {
    const french = withLanguage(PAGE, 'fr')
    expect(languageIn(french)).toBe('fr')
    expect(new URL(french).searchParams.get('conversation')).toBe('a:b')
    expect(withLanguage(french, undefined)).toBe(PAGE)
    expect(languageIn(PAGE)).toBeUndefined()
  })
})

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
