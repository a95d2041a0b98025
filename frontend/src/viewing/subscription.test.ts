import { afterEach, beforeEach, expect, it } from 'vitest'

import { createStore } from '../app/store.ts'
import { FakeSocket } from '../live/fakeSocket.test-support.ts'
import { Following } from './subscription.ts'

const SNAPSHOT = { type: 'snapshot', utterances: [], complete: true, seq: 0 }
const REFUSAL = { type: 'error', code: 'unsupported_language', message: 'no', retryable: false }
const STATUS = { type: 'translation_status', conversationId: 'c', language: 'fr' }

let store: ReturnType<typeof createStore>
let following: Following
const asked = () => new URL(FakeSocket.last.url).searchParams.get('language')

beforeEach(() => {
  FakeSocket.install()
  store = createStore('')
  following = new Following('http://host', 'c', store.dispatch)
})
afterEach(() => {
  FakeSocket.uninstall()
})

it('connects anew for another language, and hears the old one no more', () => {
  following.read('fr')
  const french = FakeSocket.last
  expect(asked()).toBe('fr')
  following.read('de')
  expect(asked()).toBe('de')
  expect(french.closed).toBe(true)
  french.says({ ...STATUS, state: 'failing' } as never)
  expect(store.getState().reading.failing).toBe(false)
})

it('reads the originals where a language is refused, and says which it was', () => {
  following.read('tlh')
  FakeSocket.last.says(REFUSAL)
  expect(asked()).toBeNull()
  FakeSocket.last.says(SNAPSHOT)
  expect(store.getState().viewing.status).toBe('live')
  expect(store.getState().conversation.language).toBeUndefined()
  expect(store.getState().reading.refused).toBe('tlh')
  following.read('fr')
  expect(store.getState().reading.refused).toBeUndefined()
})

it('tells that translations fail until they come again or the connection is another', () => {
  const failing = () => store.getState().reading.failing
  following.read('fr')
  FakeSocket.last.says(SNAPSHOT)
  FakeSocket.last.says({ ...STATUS, state: 'failing' } as never)
  expect(failing()).toBe(true)
  FakeSocket.last.says({ ...STATUS, state: 'ok' } as never)
  expect(failing()).toBe(false)
  FakeSocket.last.says({ ...STATUS, state: 'failing' } as never)
  FakeSocket.last.says(SNAPSHOT)
  expect(failing()).toBe(false)
})
