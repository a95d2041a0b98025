import { configureStore } from '@reduxjs/toolkit'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

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

it('records since when nothing has come, until the page is live again', () => {
  const viewing = () => store.getState().viewing
  subscription.read(undefined)
  FakeSocket.last.receive({ ...SNAPSHOT, position: 'a' } as never)
  vi.advanceTimersByTime(4_000)
  expect(viewing()).toMatchObject({ status: 'waiting', behindSince: 0 })
  FakeSocket.last.receive({ ...SNAPSHOT, gap: false } as never)
  expect(viewing()).toEqual({ status: 'live' })
})

it('marks captions as missing only where the server cannot go on from the last one', () => {
  const said = (id: string) => ({
    ...{ utteranceId: id, timestamp: '2026-11-20T17:00:00Z', speaker: 'Ada', language: 'en' },
    text: id,
  })
  const gaps = () => store.getState().conversation.captions.map(({ gap }) => gap !== undefined)
  subscription.read(undefined)
  FakeSocket.last.receive({ ...SNAPSHOT, position: 'a', utterances: [said('a')] } as never)
  for (const [id, gap] of [
    ['b', false],
    ['c', true],
  ] as const) {
    FakeSocket.last.onclose()
    vi.advanceTimersByTime(1_000)
    FakeSocket.last.receive({ ...SNAPSHOT, gap, position: id, utterances: [said(id)] } as never)
  }
  expect(gaps()).toEqual([false, false, true])
})
