import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import type { Admission, Entry } from './admission.ts'
import { FakeSocket } from './fakeSocket.test-support.ts'
import { Speaker, type SpeakerEvent } from './speaker.ts'
import { Viewer, type ViewerEvent } from './viewer.ts'

const PROBLEM = { title: 'No.', advice: 'Ask.' }
const USED = { type: 'error', code: 'ticket_used', message: 'used', retryable: true }

let entry: Entry
let log: string[]
const admission: Admission = {
  enter: () => {
    log.push('enter')
    return Promise.resolve(entry)
  },
  opened: () => log.push('opened'),
  failed: () => {
    log.push('failed')
    return Promise.resolve()
  },
  discard: () => log.push('discard'),
}
const settled = () => vi.advanceTimersByTimeAsync(0)

beforeEach(() => {
  FakeSocket.install()
  entry = { protocols: ['cloudscribe.v1', 'ticket.t'] }
  log = []
})
afterEach(() => {
  FakeSocket.uninstall()
})

async function view() {
  const events: ViewerEvent[] = []
  const viewer = new Viewer('ws://host/', (event) => events.push(event), admission)
  viewer.open()
  await settled()
  return { events, viewer }
}

async function speak() {
  const events: SpeakerEvent[] = []
  const speaker = new Speaker('ws://host/', (event) => events.push(event), admission)
  speaker.open()
  await settled()
  return { events, speaker }
}

it('offers the protocol and the ticket, and nothing where nobody signs in', async () => {
  await view()
  expect(FakeSocket.last.protocols).toEqual(['cloudscribe.v1', 'ticket.t'])
  expect(FakeSocket.last.url).toBe('ws://host/')
  new Viewer('ws://host/', () => undefined).open()
  expect(FakeSocket.last.protocols).toBeUndefined()
})

it('finds out about the ticket only after a socket that had not opened', async () => {
  await view()
  FakeSocket.last.onopen()
  FakeSocket.last.onclose()
  expect(log).toEqual(['enter', 'opened'])
  await vi.advanceTimersByTimeAsync(1_000)
  FakeSocket.last.onclose()
  expect(log).toEqual(['enter', 'opened', 'enter', 'failed'])
})

it('opens no socket for a viewer that was closed before the ticket came', async () => {
  const viewer = new Viewer('ws://host/', () => undefined, admission)
  viewer.open()
  viewer.close()
  await settled()
  expect(FakeSocket.all).toEqual([])
})

it('ends where there is no ticket for good, and tries again where there may be one', async () => {
  entry = { problem: PROBLEM, isFinal: true }
  expect((await view()).events.at(-1)).toEqual({ kind: 'ended', problem: PROBLEM, code: undefined })
  expect((await speak()).events.at(-1)).toEqual({ kind: 'ended', problem: PROBLEM })
  entry = { problem: PROBLEM, isFinal: false }
  for (const { events } of [await view(), await speak()]) {
    expect(events.at(-1)).toMatchObject({ kind: 'waiting', problem: PROBLEM })
  }
  expect(FakeSocket.all).toEqual([])
})

it('gets one new ticket at once when one was used, then waits', async () => {
  const { events } = await speak()
  FakeSocket.last.receive(USED)
  await settled()
  expect(log).toEqual(['enter', 'opened', 'discard', 'enter'])
  expect(FakeSocket.all).toHaveLength(2)
  FakeSocket.last.receive(USED)
  await settled()
  expect(events.at(-1)).toMatchObject({ kind: 'waiting' })
  expect(FakeSocket.all).toHaveLength(2)
})

it('keeps what is said while it waits for a ticket', async () => {
  const { speaker } = await speak()
  speaker.send(new ArrayBuffer(3_200))
  FakeSocket.last.receive({
    type: 'ready',
    conversationId: 'c',
    streamId: 's',
    engine: 'e',
    language: 'en',
    sampleRate: 16_000,
    channels: 1,
  } as never)
  expect(FakeSocket.last.sent).toEqual([3_200])
})

it('does not come back after access_revoked', async () => {
  const { events } = await view()
  const error = { type: 'error', code: 'access_revoked', message: 'no', retryable: false }
  FakeSocket.last.receive(error)
  expect(events.at(-1)).toMatchObject({ kind: 'ended', code: 'access_revoked' })
  await vi.advanceTimersByTimeAsync(60_000)
  expect(FakeSocket.all).toHaveLength(1)
})

it('comes back after access_unavailable, when the server says', async () => {
  const { events } = await view()
  const error = { type: 'error', code: 'access_unavailable', message: '', retryable: true }
  FakeSocket.last.receive({ ...error, retryAfter: 5 } as never)
  expect(events.at(-1)).toMatchObject({ kind: 'waiting' })
  await vi.advanceTimersByTimeAsync(6_000)
  expect(FakeSocket.all).toHaveLength(2)
})
