import { describe, expect, it } from 'vitest'

import { languageIn, withLanguage } from './chosenLanguage.ts'

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
