import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import type { IssuedTicket, NewTicket } from '../api.ts'
import { TestClock } from './clock.test-support.ts'
import { explainRefusal } from './refusals.ts'
import { checkTicket, type Issued, Tickets, type Verdict } from './tickets.ts'

let clock: TestClock
let asked: number
let verdict: Verdict
let checked: string[]
let refusal: Issued | undefined

beforeEach(() => {
  clock = new TestClock()
  asked = 0
  verdict = 'valid'
  checked = []
  refusal = undefined
})
afterEach(() => {
  vi.unstubAllGlobals()
})

function tickets(action: NewTicket['action'], seconds = 600): Tickets {
  const issue = (wanted: NewTicket): Promise<Issued> => {
    asked += 1
    const ticket: IssuedTicket = {
      ...wanted,
      ticket: `t${asked}`,
      title: 'Stand-up',
      role: 'owner',
      expiresAt: '1970-01-01T00:00:00Z', // by a clock that is wrong
      secondsLeft: seconds,
    }
    return Promise.resolve(refusal ?? { ticket })
  }
  const check = (ticket: string) => {
    checked.push(ticket)
    return Promise.resolve(verdict)
  }
  return new Tickets({ conversationId: 'c', action }, { issue, check }, clock)
}

const protocols = (ticket: string) => ({ protocols: ['cloudscribe.v1', `ticket.${ticket}`] })

it('opens sockets of a reader with one ticket until it ends, by the seconds that are left', async () => {
  const reading = tickets('read')
  expect(await reading.enter()).toEqual(protocols('t1'))
  reading.opened()
  clock.pass(580)
  expect(await reading.enter()).toEqual(protocols('t1'))
  clock.pass(15)
  expect(await reading.enter()).toEqual(protocols('t2'))
})

it('opens each socket of a speaker with a ticket of its own', async () => {
  const speaking = tickets('speak', 120)
  expect(await speaking.enter()).toEqual(protocols('t1'))
  speaking.opened()
  expect(await speaking.enter()).toEqual(protocols('t2'))
})

it.each(['read', 'speak'] as const)(
  'calls no API while the service is away, to %s',
  async (action) => {
    const held = tickets(action, 120)
    await held.enter()
    for (const answer of ['unknown', 'valid'] as const) {
      verdict = answer
      await held.failed()
      expect(await held.enter()).toEqual(protocols('t1'))
    }
    expect(asked).toBe(1)
  },
)

it('gets a new ticket where the service says that this one has ended', async () => {
  const reading = tickets('read')
  await reading.enter()
  verdict = 'spent'
  void reading.failed() // the next socket waits for the answer
  expect(await reading.enter()).toEqual(protocols('t2'))
  expect(checked).toEqual(['t1'])
})

it('gets a new ticket after one was used', async () => {
  const speaking = tickets('speak')
  await speaking.enter()
  speaking.discard()
  expect(await speaking.enter()).toEqual(protocols('t2'))
})

it('asks once for sockets that open at the same time', async () => {
  const reading = tickets('read')
  await Promise.all([reading.enter(), reading.enter(), reading.get()])
  expect(asked).toBe(1)
})

it('says why there is no ticket, and whether trying again can help', async () => {
  const reading = tickets('read')
  refusal = { refusal: explainRefusal(401, { reason: 'link_invalid', detail: '' }) }
  expect(await reading.enter()).toMatchObject({ isFinal: true })
  refusal = { refusal: explainRefusal(undefined, undefined) }
  expect(await reading.enter()).toMatchObject({ isFinal: false })
  await reading.failed()
  expect(checked).toEqual([])
})

it.each([
  [204, null, 'valid'],
  [401, { reason: 'ticket_expired' }, 'spent'],
  [401, { reason: 'ticket_invalid' }, 'spent'],
  [401, { reason: 'other' }, 'unknown'],
  [401, null, 'unknown'],
  [429, null, 'unknown'],
  [404, null, 'unknown'],
  [503, null, 'unknown'],
] as const)('takes the service’s answer %d %j for %s', async (status, body, expected) => {
  const text = body === null ? null : JSON.stringify(body)
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(text, { status })))
  expect(await checkTicket('https://host', 't')).toBe(expected)
})
