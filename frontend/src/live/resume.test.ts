/** The speaker with a service that resumes streams. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { Admission } from './admission.ts'
import type { ErrorCode, Ready } from '../protocol.ts'
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
  resumeToken: 'secret',
  resumeFrom: 0,
}
const STOP = '{"type":"stop"}'
const FRAME = 3_200
const PROTOCOLS = ['cloudscribe.v1', 'resume.secret']

let events: SpeakerEvent[]
let speaker: Speaker

const kinds = () =>
  events.map(({ kind }) => kind).filter((kind) => kind !== 'progress' && kind !== 'message')
const last = <K extends SpeakerEvent['kind']>(kind: K) =>
  events.findLast((event): event is SpeakerEvent & { kind: K } => event.kind === kind)

const ready = (resumeFrom: number) => ({ ...READY, resumeFrom })
const ack = (received: number, durable: number) => ({
  ...{ type: 'ack', received, processed: received, lag: 0, durable },
})
const refusal = (code: ErrorCode, retryable = true, retryAfter?: number) => ({
  ...{ type: 'error', code, message: 'why', retryable },
  ...(retryAfter === undefined ? {} : { retryAfter }),
})
const attemptOf = (socket: FakeSocket) => new URL(socket.url).searchParams.get('attempt')
const continued = (sample: number) =>
  expect.stringMatching(`^{"type":"continue","sample":${sample},"age":`) as string
const framesOf = (socket: FakeSocket) => socket.sent.filter((each) => each === FRAME).length

/** Records for so many seconds; a service whose line works acknowledges every second. */
async function speak(seconds: number, socket?: FakeSocket): Promise<void> {
  for (let n = 1; n <= Math.round(seconds * 10); n++) {
    await vi.advanceTimersByTimeAsync(100)
    speaker.send(new ArrayBuffer(FRAME))
    if (n % 10 === 0) socket?.receive(ack(0, 0))
  }
}

function open(admission?: Admission): FakeSocket {
  speaker = new Speaker('ws://host/?resume=1', (event) => events.push(event), admission)
  speaker.open()
  return FakeSocket.last
}

beforeEach(() => {
  FakeSocket.install()
  events = []
})
afterEach(() => {
  speaker.abandon()
  FakeSocket.uninstall()
})

it('says where the first words begin and how old they are, before it sends them', async () => {
  const first = open()
  await speak(0.3)
  first.receive(READY)
  expect(first.protocols).toBeUndefined()
  expect(first.sent).toHaveLength(4)
  expect(JSON.parse(String(first.sent[0]))).toEqual({
    type: 'continue',
    sample: 0,
    age: expect.closeTo(0.3) as number,
  })
})

describe('a line that is cut', () => {
  it('is replaced at once, and all goes on from where the service needs it', async () => {
    const first = open()
    first.receive(READY)
    await speak(1)
    first.onclose()
    await vi.advanceTimersByTimeAsync(1)
    const second = FakeSocket.last
    expect(FakeSocket.all).toHaveLength(2)
    expect([second.protocols, attemptOf(second)]).toEqual([PROTOCOLS, '1'])
    await speak(0.2)
    second.receive(ready(8 * 1_600))
    expect(second.sent).toEqual([continued(8 * 1_600), FRAME, FRAME, FRAME, FRAME])
    // Nobody reads of a line that was replaced within a second.
    expect(kinds()).toEqual(['connecting', 'listening', 'listening'])
  })

  it('every thirty seconds is replaced without anybody noticing', async () => {
    let socket = open()
    socket.receive(READY)
    let sent = 0
    for (let n = 1; n <= 10; n++) {
      await speak(30, socket)
      sent += framesOf(socket)
      socket.onclose()
      await vi.advanceTimersByTimeAsync(1)
      socket = FakeSocket.last
      expect(attemptOf(socket)).toBe(String(n))
      socket.receive(ready(n * 300 * 1_600))
    }
    expect(sent).toBe(10 * 300)
    expect(new Set(kinds())).toEqual(new Set(['connecting', 'listening']))
    expect(last('progress')?.lost).toBe(0)
  })

  it('is announced after a second, with what is kept', async () => {
    const first = open()
    first.receive(READY)
    await speak(5, first)
    first.onclose()
    for (let n = 0; n < 4; n++) {
      await speak(1)
      FakeSocket.last.onclose()
    }
    expect(last('reconnecting')?.problem.advice).toMatch(/your words are kept/)
    expect(last('progress')).toMatchObject({ kept: expect.closeTo(9, 0) as number, lost: 0 })
    expect(last('ended')).toBeUndefined()
  })

  it('does not end for as long as it takes, and says what is lost after ten minutes', async () => {
    open().receive(READY)
    FakeSocket.last.onclose()
    for (let n = 0; n < 62; n++) {
      await speak(10)
      FakeSocket.last.onclose()
    }
    expect(last('ended')).toBeUndefined()
    expect(last('progress')).toMatchObject({
      kept: 600,
      isFull: true,
      lost: expect.closeTo(20) as number,
    })
    speaker.retryNow()
    await vi.advanceTimersByTimeAsync(1)
    FakeSocket.last.receive(ready(0))
    expect(FakeSocket.last.sent[0]).toEqual(continued(20 * 16_000))
    expect(last('progress')?.lost).toBeCloseTo(20)
  })

  it('marks what is recognised again, so that open words go', async () => {
    const first = open()
    first.receive(READY)
    await speak(2)
    first.receive(ack(2, 8_000))
    first.onclose()
    await vi.advanceTimersByTimeAsync(1)
    FakeSocket.last.receive(ready(8_000))
    expect(last('listening')?.isAnew).toBe(true)
    FakeSocket.last.onclose()
    await vi.advanceTimersByTimeAsync(1_000)
    FakeSocket.last.receive(ready(2 * 16_000))
    expect(last('listening')?.isAnew).toBe(false)
  })
})

describe('a line that is silent for three seconds', () => {
  const fallSilent = async () => {
    const first = open()
    first.receive(READY)
    await vi.advanceTimersByTimeAsync(4_000)
    expect(FakeSocket.all).toHaveLength(2)
    return { first, second: FakeSocket.last }
  }

  it('stays open until another one is ready', async () => {
    const { first, second } = await fallSilent()
    expect(first.closed).toBe(false)
    expect(kinds().at(-1)).toBe('reconnecting')
    second.receive(ready(0))
    expect(first.closed).toBe(true)
    expect(kinds().at(-1)).toBe('listening')
  })

  it('is kept when it speaks again before that', async () => {
    const { first, second } = await fallSilent()
    first.receive(ack(0, 0))
    expect([first.closed, second.closed]).toEqual([false, true])
    expect(kinds().at(-1)).toBe('listening')
    await vi.advanceTimersByTimeAsync(2_900)
    expect(FakeSocket.all).toHaveLength(2)
  })

  it('is ignored when the service says that the stream has moved', async () => {
    const { first, second } = await fallSilent()
    first.receive(refusal('moved'))
    await vi.advanceTimersByTimeAsync(2_000)
    expect(FakeSocket.all).toHaveLength(2)
    second.receive(ready(0))
    expect(kinds().at(-1)).toBe('listening')
  })

  it('is no reason to leave out an attempt after one that failed', async () => {
    const { second } = await fallSilent()
    second.onclose()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(FakeSocket.all).toHaveLength(3)
    expect(attemptOf(FakeSocket.last)).toBe('2')
  })
})

it('resumes once more when the newest connection gets that the stream has moved', async () => {
  open().receive(READY)
  FakeSocket.last.receive(refusal('moved'))
  await vi.advanceTimersByTimeAsync(1)
  expect(attemptOf(FakeSocket.last)).toBe('1')
  FakeSocket.last.receive(refusal('moved'))
  await vi.advanceTimersByTimeAsync(1_000)
  expect(attemptOf(FakeSocket.last)).toBe('2')
})

it('begins another stream where the service does not know the first one any more', async () => {
  const first = open()
  first.receive(READY)
  await speak(2)
  first.receive(ack(2, 16_000))
  first.onclose()
  await vi.advanceTimersByTimeAsync(1)
  FakeSocket.last.receive(refusal('resume_refused', false))
  await vi.advanceTimersByTimeAsync(1_000)
  const third = FakeSocket.last
  expect([third.protocols, attemptOf(third)]).toEqual([undefined, null])
  third.receive({ ...READY, resumeToken: 'other' })
  expect(third.sent[0]).toEqual(continued(0))
  expect(framesOf(third)).toBe(10)
  third.onclose()
  await vi.advanceTimersByTimeAsync(2_000)
  expect(FakeSocket.last.protocols).toEqual(['cloudscribe.v1', 'resume.other'])
  expect(attemptOf(FakeSocket.last)).toBe('1')
})

it.each(['at_capacity', 'ledger_unavailable', 'access_unavailable', 'draining'] as const)(
  'keeps the words after %s, and comes back when the service allows it',
  async (code) => {
    const first = open()
    first.receive(READY)
    await speak(1)
    first.receive(refusal(code, true, 7))
    await speak(6.9)
    expect(FakeSocket.all).toHaveLength(1)
    expect(last('reconnecting')?.problem.title).not.toBe('')
    await speak(1)
    expect(FakeSocket.all).toHaveLength(2)
    FakeSocket.last.receive(ready(0))
    await speak(3)
    expect(framesOf(FakeSocket.last)).toBe(119)
    expect(last('progress')?.lost).toBe(0)
  },
)

it('waits for the microphone when the service got no sound for too long', async () => {
  const first = open()
  first.receive(READY)
  await speak(0.1)
  first.receive(refusal('idle_timeout'))
  await vi.advanceTimersByTimeAsync(60_000)
  expect(FakeSocket.all).toHaveLength(1)
  expect(last('reconnecting')?.problem.title).toBe('The microphone gives no sound.')
  await speak(0.1)
  await vi.advanceTimersByTimeAsync(1)
  expect(FakeSocket.all).toHaveLength(2)
  FakeSocket.last.receive(ready(1_600))
  expect(FakeSocket.last.sent[1]).toMatch(/^{"type":"pause","sample":1600,"seconds":60/)
})

describe('stop', () => {
  it('while the line is down sends the rest over the next one', async () => {
    const first = open()
    first.receive(READY)
    first.onclose()
    await speak(0.5)
    speaker.stop()
    expect(last('ended')).toBeUndefined()
    FakeSocket.last.receive(ready(0))
    await vi.advanceTimersByTimeAsync(100)
    expect(FakeSocket.last.sent).toEqual([continued(0), FRAME, FRAME, FRAME, FRAME, FRAME, STOP])
    FakeSocket.last.receive({ type: 'closed', reason: 'stopped', duration: 1, finals: 1 } as never)
    expect(last('ended')?.problem).toBeUndefined()
  })

  it('is sent again over another line, until the service confirms it', async () => {
    const first = open()
    first.receive(READY)
    speaker.stop()
    expect(first.sent.at(-1)).toBe(STOP)
    first.onclose()
    await vi.advanceTimersByTimeAsync(1)
    FakeSocket.last.receive(ready(0))
    expect(FakeSocket.last.sent).toEqual([continued(0), STOP])
    FakeSocket.last.onclose()
    await vi.advanceTimersByTimeAsync(1_000)
    // The stream has ended meanwhile.
    FakeSocket.last.receive({ type: 'closed', reason: 'stopped', duration: 1, finals: 1 } as never)
    expect(last('ended')).toEqual({ kind: 'ended', problem: undefined })
  })

  it.each([
    ['somebody gives up', 0],
    ['ten minutes are over', 601_000],
  ])('ends without the last words when %s', async (_, wait) => {
    open().receive(READY)
    FakeSocket.last.onclose()
    await speak(3)
    speaker.stop()
    await vi.advanceTimersByTimeAsync(wait)
    speaker.giveUp()
    expect(last('ended')?.problem?.advice).toBe('The last words may be missing.')
    expect(last('progress')?.lost).toBeCloseTo(3)
    expect(kinds().filter((kind) => kind === 'ended')).toHaveLength(1)
  })

  it('ends where another stream would have nothing to say', async () => {
    const first = open()
    first.receive(READY)
    speaker.stop()
    first.onclose()
    await vi.advanceTimersByTimeAsync(1)
    FakeSocket.last.receive(refusal('resume_refused', false))
    expect(last('ended')).toEqual({ kind: 'ended', problem: undefined })
  })
})

it('sends everything and the stop at once when the page goes away', async () => {
  const first = open()
  first.receive(READY)
  first.bufferedAmount = 1e6
  await speak(5)
  speaker.leave()
  expect(framesOf(first)).toBe(50)
  expect(first.sent.at(-1)).toBe(STOP)
})

it('goes on as before with a service that cannot resume any more', async () => {
  const first = open()
  first.receive(READY)
  await speak(1)
  first.receive(ack(1, 16_000))
  first.onclose()
  await vi.advanceTimersByTimeAsync(1)
  const { resumeToken, resumeFrom, ...old } = READY
  expect([resumeToken, resumeFrom]).toBeDefined()
  await speak(0.3)
  FakeSocket.last.receive(old)
  expect(FakeSocket.last.sent).toEqual([FRAME, FRAME, FRAME])
})

describe('with tickets', () => {
  let tickets: number
  let admission: Admission

  beforeEach(() => {
    tickets = 0
    admission = {
      enter: () => {
        tickets += 1
        return Promise.resolve({ protocols: ['cloudscribe.v1', `ticket.${tickets}`] })
      },
      opened: vi.fn(),
      failed: () => Promise.resolve(),
      discard: vi.fn(),
    }
  })
  const settle = () => vi.advanceTimersByTimeAsync(1_000)

  it('resumes with the token alone, and with both when a ticket became too old', async () => {
    speaker = new Speaker('ws://host/', (event) => events.push(event), admission)
    speaker.open()
    await settle()
    FakeSocket.last.receive(READY)
    FakeSocket.last.onclose()
    await settle()
    expect(FakeSocket.last.protocols).toEqual(PROTOCOLS)
    FakeSocket.last.receive(refusal('ticket_used'))
    await settle()
    expect(FakeSocket.last.protocols).toEqual([
      'cloudscribe.v1',
      `ticket.${tickets}`,
      'resume.secret',
    ])
    FakeSocket.last.receive(ready(0))
    FakeSocket.last.onclose()
    await settle()
    expect(FakeSocket.last.protocols).toEqual(PROTOCOLS)
  })

  it('shows a ticket too after some attempts, because the service may be of before', async () => {
    const seen = new Set<string>()
    speaker = new Speaker('ws://host/', (event) => events.push(event), admission)
    speaker.open()
    await settle()
    FakeSocket.last.receive(READY)
    for (let n = 0; n < 5; n++) {
      FakeSocket.last.onclose()
      await vi.advanceTimersByTimeAsync(16_000)
      seen.add(String(FakeSocket.last.protocols?.length))
    }
    expect(seen).toEqual(new Set(['2', '3']))
  })
})
