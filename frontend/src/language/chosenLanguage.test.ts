import { describe, expect, it } from 'vitest'

import { languageIn, withLanguage } from './chosenLanguage.ts'

describe('the address', () => {
  const PAGE = 'https://captions.example/?conversation=a%3Ab&listen='

  it('contains the language beside the rest, or no language', () => {
    const french = withLanguage(PAGE, 'fr')
    expect(languageIn(french)).toBe('fr')
    expect(new URL(french).searchParams.get('conversation')).toBe('a:b')
    expect(withLanguage(french, undefined)).toBe(PAGE)
    expect(languageIn(PAGE)).toBeUndefined()
  })
})
