import { describe, expect, it } from 'vitest'

import {
  addressOf,
  conversationIn,
  generateConversationId,
  isConversationId,
  isForListening,
} from './conversationId.ts'

const PAGE = 'https://captions.example/app/?utm=1#top'

describe('the address', () => {
  it('contains the conversation, with every allowed character', () => {
    const address = addressOf(PAGE, 'team:a@b._-9')
    expect(conversationIn(address)).toBe('team:a@b._-9')
    expect(isForListening(address)).toBe(false)
    expect(new URL(address).pathname).toBe('/app/')
  })

  it("is a listener's link with the mark, and not without", () => {
    const link = addressOf(PAGE, 'a', true)
    expect(isForListening(link)).toBe(true)
    expect(isForListening(addressOf(link, 'a'))).toBe(false)
  })

  it('may contain no conversation', () => {
    expect(conversationIn(PAGE)).toBeUndefined()
  })
})

it.each(['', '-a', 'a b', 'a/b', 'ä', 'a'.repeat(129)])('rejects %j as an id', (name) => {
  expect(isConversationId(name)).toBe(false)
})

it('generates ids that are valid, readable and different', () => {
  const names = Array.from({ length: 100 }, generateConversationId)
  expect(new Set(names).size).toBe(100)
  for (const name of names) {
    expect(isConversationId(name)).toBe(true)
    expect(name).toMatch(/^[a-z]+-[a-z]+-[2-9a-z]{4}-[2-9a-z]{4}$/)
  }
})
