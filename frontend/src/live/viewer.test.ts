import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

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

describe('a service that gives positions', () => {
  const heartbeat = (position: string) => ({ type: 'heartbeat', seq: 1, position })
  const since = () => new URL(FakeSocket.last.url).searchParams.get('since')
  const snapshots = () =>
    events.flatMap((event) =>
      event.kind === 'message' && event.message.type === 'snapshot' ? [event.isContinued] : [],
    )
  const open = () => {
    const socket = FakeSocket.last
    socket.receive({ ...SNAPSHOT, position: 'a' })
    return socket
  }

  it('continues from the newest one, at once and without a word about it', () => {
    const socket = open()
    socket.receive({ type: 'final', position: 'b' })
    socket.receive({ type: 'partial' })
    vi.advanceTimersByTime(2_000)
    socket.receive(heartbeat('c d'))
    socket.onclose()
    vi.advanceTimersByTime(1)
    expect(since()).toBe('c d')
    FakeSocket.last.receive({ ...SNAPSHOT, more: true })
    FakeSocket.last.receive(SNAPSHOT)
    expect(kinds()).not.toContain('waiting')
    expect(snapshots()).toEqual([false, true, true])
  })

  it('does not continue where captions are missing, or where a service of before answers', () => {
    open().onclose()
    vi.advanceTimersByTime(1)
    FakeSocket.last.receive({ ...SNAPSHOT, gap: true, position: 'b' })
    FakeSocket.last.onclose()
    vi.advanceTimersByTime(1_000)
    const { gap, ...old } = SNAPSHOT
    expect(gap).toBe(false)
    FakeSocket.last.receive(old)
    expect(snapshots()).toEqual([false, false, false])
  })

  it('is silent for three seconds only where the line is dead: another one is opened', () => {
    const first = open()
    vi.advanceTimersByTime(2_900)
    first.receive(heartbeat('b'))
    vi.advanceTimersByTime(2_900)
    expect(FakeSocket.all).toHaveLength(1)
    vi.advanceTimersByTime(1_200)
    expect(FakeSocket.all).toHaveLength(2)
    expect(first.closed).toBe(false)
    expect(events.findLast(({ kind }) => kind === 'waiting')).toMatchObject({ since: 2_900 })
    FakeSocket.last.receive(SNAPSHOT)
    expect(first.closed).toBe(true)
    expect(
      kinds()
        .filter((kind) => kind !== 'message')
        .at(-1),
    ).toBe('live')
  })

  it('keeps the first line when that speaks again before', () => {
    const first = open()
    vi.advanceTimersByTime(4_100)
    first.receive(heartbeat('b'))
    expect([first.closed, FakeSocket.last.closed]).toEqual([false, true])
    vi.advanceTimersByTime(2_900)
    expect(FakeSocket.all).toHaveLength(2)
  })

  it('is asked again from the same position until nothing is left out', () => {
    open().onclose()
    vi.advanceTimersByTime(1)
    const second = FakeSocket.last
    second.receive({ ...SNAPSHOT, complete: false, position: 'later' })
    second.receive(heartbeat('later still'))
    vi.advanceTimersByTime(1_000)
    expect([FakeSocket.all.length, since(), second.closed]).toEqual([3, 'a', false])
    FakeSocket.last.onclose()
    second.receive(heartbeat('later still'))
    vi.advanceTimersByTime(2_000)
    expect([FakeSocket.all.length, since(), second.closed]).toEqual([4, 'a', false])
    FakeSocket.last.receive({ ...SNAPSHOT, position: 'whole' })
    expect(second.closed).toBe(true)
    FakeSocket.last.receive(heartbeat('newest'))
    vi.advanceTimersByTime(2_900)
    expect(FakeSocket.all).toHaveLength(4)
    FakeSocket.last.onclose()
    vi.advanceTimersByTime(1_000)
    expect(since()).toBe('newest')
  })

  it('is not asked again and again without a distance when every connection ends', () => {
    open()
    for (let n = 0; n < 100; n++) {
      FakeSocket.last.receive(heartbeat('b'))
      FakeSocket.last.onclose()
      vi.advanceTimersByTime(100)
    }
    expect(FakeSocket.all.length).toBeLessThan(8)
  })
})
