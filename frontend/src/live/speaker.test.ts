import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { Closed, ErrorCode, Error as ErrorMessage, Ready } from '../protocol.ts'
import { FakeSocket } from './fakeSocket.test-support.ts'
import { Speaker, type SpeakerEvent } from './speaker.ts'

const READY: Ready = {
  type: 'ready',
  conversationId: 'c',
  streamId: 's',
  engine: 'scripted',
  language: 'en-US',
  sampleRate: 16_000,
  channels: 1,
}
const CLOSED: Closed = { type: 'closed', reason: 'stopped', duration: 1, finals: 1 }
const STOP = '{"type":"stop"}'

/** 100 ms */
const frame = () => new ArrayBuffer(3_200)

function refusal(code: ErrorCode, retryable: boolean, retryAfter?: number): ErrorMessage {
  const base = { type: 'error', code, message: 'why', retryable } as const
  return retryAfter === undefined ? base : { ...base, retryAfter }
}

let events: SpeakerEvent[]
let speaker: Speaker

const kinds = () => events.map(({ kind }) => kind).filter((kind) => kind !== 'progress')
const last = (kind: SpeakerEvent['kind']) => events.findLast((event) => event.kind === kind)
const ended = () => last('ended') as (SpeakerEvent & { kind: 'ended' }) | undefined

beforeEach(() => {
  FakeSocket.install()
  events = []
  speaker = new Speaker('ws://host/', (event) => events.push(event))
  speaker.open()
})
afterEach(() => {
  FakeSocket.uninstall()
})

it('queues the first words until the server is ready', () => {
  speaker.send(frame())
  expect(FakeSocket.last.sent).toEqual([])
  FakeSocket.last.receive(READY)
  speaker.send(frame())
  expect(FakeSocket.last.sent).toEqual([3_200, 3_200])
  expect(kinds()).toEqual(['connecting', 'listening'])
})

describe('stop', () => {
  it('sends the queue, then the stop, then waits for the last finals', () => {
    FakeSocket.last.receive(READY)
    FakeSocket.last.bufferedAmount = 1e6
    speaker.send(frame())
    speaker.stop()
    expect(FakeSocket.last.sent).toEqual([])

    FakeSocket.last.bufferedAmount = 0
    vi.advanceTimersByTime(100)
    expect(FakeSocket.last.sent).toEqual([3_200, STOP])
    expect(ended()).toBeUndefined()

    FakeSocket.last.receive(CLOSED)
    expect(ended()?.problem).toBeUndefined()
    expect(FakeSocket.last.closed).toBe(true)
  })

  it('before the server is ready still sends the queue', () => {
    speaker.send(frame())
    speaker.stop()
    FakeSocket.last.receive(READY)
    expect(FakeSocket.last.sent).toEqual([3_200, STOP])
  })

  it('ends with a problem when the server does not answer', () => {
    FakeSocket.last.receive(READY)
    speaker.stop()
    vi.advanceTimersByTime(12_000)
    expect(ended()?.problem?.advice).toMatch(/missing/)
  })

  it('while waiting to reconnect ends at once', () => {
    FakeSocket.last.onclose()
    speaker.stop()
    expect(ended()).toBeDefined()
    vi.advanceTimersByTime(60_000)
    expect(FakeSocket.all).toHaveLength(1)
  })
})

describe('a lost connection', () => {
  it('is replaced, and the audio of the meantime is sent', () => {
    FakeSocket.last.receive(READY)
    FakeSocket.last.onclose()
    speaker.send(frame())
    vi.advanceTimersByTime(500)
    expect(FakeSocket.all).toHaveLength(2)
    FakeSocket.last.receive(READY)
    expect(FakeSocket.last.sent).toEqual([3_200])
    expect(kinds()).toEqual(['connecting', 'listening', 'waiting', 'connecting', 'listening'])
  })

  it('is detected by silence, because a lost network closes nothing', () => {
    FakeSocket.last.receive(READY)
    vi.advanceTimersByTime(12_000)
    expect(kinds()).toContain('waiting')
    expect(FakeSocket.all[0]?.closed).toBe(true)
  })

  it('that cannot be replaced ends the stream with a problem', () => {
    for (let attempt = 0; attempt < 9; attempt++) {
      FakeSocket.last.onclose()
      vi.advanceTimersByTime(15_000)
    }
    expect(ended()?.problem?.title).toBe('The server cannot be reached.')
    expect(FakeSocket.all).toHaveLength(9)
  })

  it('queues twenty seconds, and counts the rest as lost', () => {
    FakeSocket.last.receive(READY)
    FakeSocket.last.onclose()
    for (let i = 0; i < 230; i++) speaker.send(frame())
    expect(last('progress')).toMatchObject({ lost: expect.closeTo(3) as number })
  })
})

describe('a server without a free slot', () => {
  it('is tried again when the service allows it, not earlier, and no audio is queued until then', () => {
    FakeSocket.last.receive(refusal('at_capacity', true, 7))
    expect(last('waiting')).toMatchObject({
      problem: { title: 'Every captioning slot is in use.' },
      retryAt: expect.closeTo(7_350, -3) as number,
    })
    speaker.send(frame())
    speaker.retryNow()
    vi.advanceTimersByTime(6_999)
    expect(FakeSocket.all).toHaveLength(1)
    vi.advanceTimersByTime(701)
    expect(FakeSocket.all).toHaveLength(2)
    FakeSocket.last.receive(READY)
    expect(FakeSocket.last.sent).toEqual([])
  })
})

it('reconnects when the server drains', () => {
  FakeSocket.last.receive(READY)
  FakeSocket.last.receive({ ...CLOSED, reason: 'draining' })
  vi.advanceTimersByTime(500)
  expect(FakeSocket.all).toHaveLength(2)
  expect(ended()).toBeUndefined()
})

it('ends after an error that is not transient', () => {
  FakeSocket.last.receive(refusal('unsupported_language', false))
  expect(ended()?.problem?.advice).toBe('why')
  vi.advanceTimersByTime(60_000)
  expect(FakeSocket.all).toHaveLength(1)
})

it('explains the end of a stream that reached the maximum duration', () => {
  FakeSocket.last.receive(READY)
  FakeSocket.last.receive({ ...CLOSED, reason: 'max_duration', duration: 30 })
  expect(ended()?.problem?.title).toBe('This server ends captions after 30 seconds.')
})

it('reports the lag of the network and of the engine as one', () => {
  FakeSocket.last.receive(READY)
  FakeSocket.last.bufferedAmount = 32_000
  FakeSocket.last.receive({ type: 'ack', received: 9, processed: 7, lag: 2 } as { type: string })
  expect(last('progress')).toMatchObject({ lag: 3 })
})

it('sends only a little ahead of a slow network', () => {
  FakeSocket.last.receive(READY)
  FakeSocket.last.bufferedAmount = 64_000
  speaker.send(frame())
  expect(FakeSocket.last.sent).toEqual([])
})

it('ignores messages for viewers and those of a newer server', () => {
  FakeSocket.last.receive({ type: 'translation' })
  FakeSocket.last.receive({ type: 'constructor' })
  expect(kinds()).toEqual(['connecting'])
})
