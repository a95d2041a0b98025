import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import type { Snapshot } from '../protocol.ts'
import { FakeSocket } from './fakeSocket.test-support.ts'
import { Viewer, type ViewerEvent } from './viewer.ts'

const SNAPSHOT: Snapshot = {
  type: 'snapshot',
  conversationId: 'c',
  utterances: [],
  complete: true,
  seq: 0,
  more: false,
  gap: false,
}

let events: ViewerEvent[]
let viewer: Viewer
const kinds = () => events.map(({ kind }) => kind)

beforeEach(() => {
  FakeSocket.install()
  events = []
  viewer = new Viewer('ws://host/?language=fr', (event) => events.push(event))
  viewer.open()
})
afterEach(() => {
  FakeSocket.uninstall()
})

it('is live from the snapshot on', () => {
  FakeSocket.last.receive(SNAPSHOT)
  expect(kinds()).toEqual(['connecting', 'live', 'message'])
})

it('reconnects for as long as the page is open, with at most fifteen seconds between', () => {
  for (let attempt = 0; attempt < 20; attempt++) {
    FakeSocket.last.onclose()
    vi.advanceTimersByTime(15_000)
  }
  expect(FakeSocket.all).toHaveLength(21)
})

it('reconnects at once when the network is back', () => {
  FakeSocket.last.onclose()
  viewer.retryNow()
  expect(FakeSocket.all).toHaveLength(2)
  vi.advanceTimersByTime(15_000)
  expect(FakeSocket.all).toHaveLength(2)
})

it('treats a connection without heartbeats as lost', () => {
  FakeSocket.last.receive(SNAPSHOT)
  vi.advanceTimersByTime(24_000)
  FakeSocket.last.receive({ type: 'heartbeat' })
  vi.advanceTimersByTime(24_000)
  expect(kinds()).not.toContain('waiting')
  vi.advanceTimersByTime(1_000)
  expect(kinds()).toContain('waiting')
})

it('reconnects after slow_consumer, and not after an error that is not transient', () => {
  const error = { type: 'error', code: 'slow_consumer', message: '', retryable: true } as const
  FakeSocket.last.receive(error)
  vi.advanceTimersByTime(500)
  expect(FakeSocket.all).toHaveLength(2)
  FakeSocket.last.receive({ ...error, code: 'invalid_parameter', retryable: false })
  vi.advanceTimersByTime(60_000)
  expect(FakeSocket.all).toHaveLength(2)
  expect(kinds().at(-1)).toBe('ended')
})

it('reconnects when the server allows it, after it had no slot', () => {
  const error = { type: 'error', code: 'too_many_viewers', message: '', retryable: true } as const
  FakeSocket.last.receive({ ...error, retryAfter: 10 })
  vi.advanceTimersByTime(9_900)
  expect(FakeSocket.all).toHaveLength(1)
  vi.advanceTimersByTime(1_100)
  expect(FakeSocket.all).toHaveLength(2)
  const [waiting] = events.filter((event) => event.kind === 'waiting')
  expect(waiting?.problem.title).toBe('Too many people are watching.')
})

it('ignores messages of a newer server', () => {
  FakeSocket.last.receive({ type: 'constructor' })
  expect(kinds()).toEqual(['connecting'])
})

it('emits nothing after it was closed', () => {
  const socket = FakeSocket.last
  viewer.close()
  socket.receive(SNAPSHOT)
  socket.onclose()
  vi.advanceTimersByTime(60_000)
  expect(kinds()).toEqual(['connecting'])
})

it('requests a complete snapshot over a second connection after an incomplete one', () => {
  const live = FakeSocket.last
  live.receive({ ...SNAPSHOT, complete: false })
  const past = FakeSocket.last
  expect(new URL(past.url).search).toBe('?mode=snapshot')
  past.receive({ ...SNAPSHOT, complete: false })
  expect(past.closed).toBe(false)

  past.receive(SNAPSHOT)
  expect(past.closed).toBe(true)
  expect(live.closed).toBe(false)
  expect(kinds()).toEqual(['connecting', 'live', 'message', 'snapshot_completed'])
})

it('repeats that request when it fails, until the live connection is replaced', () => {
  const live = FakeSocket.last
  live.receive({ ...SNAPSHOT, complete: false })
  FakeSocket.last.onclose()
  vi.advanceTimersByTime(15_000)
  expect(FakeSocket.all).toHaveLength(3)
  const past = FakeSocket.last

  live.onclose()
  expect(past.closed).toBe(true)
  vi.advanceTimersByTime(15_000)
  FakeSocket.last.receive(SNAPSHOT)
  expect(FakeSocket.all).toHaveLength(4)
  expect(kinds()).not.toContain('snapshot_completed')
})
