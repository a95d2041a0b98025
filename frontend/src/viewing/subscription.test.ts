import { configureStore } from '@reduxjs/toolkit'
import { afterEach, beforeEach, expect, it } from 'vitest'

import { conversationSlice } from '../conversation/conversationSlice.ts'
import { languageSlice } from '../language/languageSlice.ts'
import { FakeSocket } from '../live/fakeSocket.test-support.ts'
import { Subscription } from './subscription.ts'
import { viewingSlice } from './viewingSlice.ts'

const SNAPSHOT = { type: 'snapshot', utterances: [], complete: true, seq: 0 }
const REFUSAL = { type: 'error', code: 'unsupported_language', message: 'no', retryable: false }
const STATUS = { type: 'translation_status', conversationId: 'c', language: 'fr' }

const createStore = () =>
  configureStore({
    reducer: {
      conversation: conversationSlice.reducer,
      language: languageSlice.reducer,
      viewing: viewingSlice.reducer,
    },
  })

let store: ReturnType<typeof createStore>
let subscription: Subscription
const asked = () => new URL(FakeSocket.last.url).searchParams.get('language')

beforeEach(() => {
  FakeSocket.install()
  store = createStore()
  subscription = new Subscription('http://host', 'c', store.dispatch)
})
afterEach(() => {
  FakeSocket.uninstall()
})

it('replaces the connection for another language, and ignores the old one', () => {
  subscription.read('fr')
  const french = FakeSocket.last
  expect(asked()).toBe('fr')
  subscription.read('de')
  expect(asked()).toBe('de')
  expect(french.closed).toBe(true)
  french.receive({ ...STATUS, state: 'failing' } as never)
  expect(store.getState().conversation.isTranslationFailing).toBe(false)
})

it('falls back to the originals where a language is refused, and records which', () => {
  subscription.read('tlh')
  FakeSocket.last.receive(REFUSAL)
  expect(asked()).toBeNull()
  FakeSocket.last.receive(SNAPSHOT)
  expect(store.getState().viewing.status).toBe('live')
  expect(store.getState().language.chosen).toBeUndefined()
  expect(store.getState().language.refused).toBe('tlh')
  subscription.read('fr')
  expect(store.getState().language.refused).toBeUndefined()
})

it('marks failing translations until they recover or the connection is replaced', () => {
  const failing = () => store.getState().conversation.isTranslationFailing
  subscription.read('fr')
  FakeSocket.last.receive(SNAPSHOT)
  FakeSocket.last.receive({ ...STATUS, state: 'failing' } as never)
  expect(failing()).toBe(true)
  FakeSocket.last.receive({ ...STATUS, state: 'ok' } as never)
  expect(failing()).toBe(false)
  FakeSocket.last.receive({ ...STATUS, state: 'failing' } as never)
  FakeSocket.last.receive(SNAPSHOT)
  expect(failing()).toBe(false)
})
