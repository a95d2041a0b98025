import { expect, it } from 'vitest'

import {
  decideArrival,
  NOT_STARTED_HERE,
  parsePending,
  type Pending,
  type SignInState,
  signInSlice,
} from './signIn.ts'

const PENDING: Pending = { state: 's1', nonce: 'n', verifier: 'v', returnTo: '/#/c/abc' }
const { signedIn, signedOut, signInEnded, signInFailed } = signInSlice.actions
const PROBLEM = { title: 'No.', advice: 'Again.' }

const decide = (answer: string) => decideArrival(new URLSearchParams(answer), PENDING)

it('restores the earlier sign-in where there is no answer', () => {
  expect(decideArrival(undefined, PENDING)).toEqual({ next: 'restore' })
})

it('exchanges the answer of the sign-in that this tab has started', () => {
  expect(decide('code=c&state=s1')).toMatchObject({ next: 'exchange', pending: PENDING })
})

it.each([
  ['of another sign-in', 'code=c&state=s2', PENDING],
  ['without a sign-in of this tab', 'code=c&state=s1', undefined],
  ['with two states', 'code=c&state=s1&state=s1', PENDING],
  ['with an empty state', 'code=c&state=', PENDING],
  ['of another sign-in that failed', 'error=access_denied&state=s2', PENDING],
])('refuses an answer %s', (_, answer, pending) => {
  expect(decideArrival(new URLSearchParams(answer), pending)).toEqual({
    next: 'restore',
    problem: NOT_STARTED_HERE,
  })
})

it('says what to do where the issuer refused', () => {
  for (const error of ['access_denied', 'server_error']) {
    const arrival = decide(`error=${error}&state=s1`)
    expect(arrival.next).toBe('restore')
    expect(arrival).toHaveProperty('problem.advice', expect.stringContaining('ry again'))
  }
})

it('reads only what it has stored', () => {
  expect(parsePending(JSON.stringify(PENDING))).toEqual(PENDING)
  for (const text of [undefined, '', 'null', '{', '{"state":"s"}', '[]']) {
    expect(parsePending(text)).toBeUndefined()
  }
})

it('keeps the page when a sign-in ends, unless none had worked', () => {
  const reduce = (...actions: Parameters<typeof signInSlice.reducer>[1][]) =>
    actions.reduce<SignInState>(signInSlice.reducer, signInSlice.getInitialState())
  expect(reduce(signInEnded())).toEqual({ kind: 'out' })
  expect(reduce(signedIn(), signInEnded())).toEqual({ kind: 'ended' })
  expect(reduce(signedIn(), signInEnded(), signInEnded())).toEqual({ kind: 'ended' })
  expect(reduce(signedIn(), signInEnded(), signedOut())).toEqual({ kind: 'out' })
  expect(reduce(signInFailed(PROBLEM), signedIn())).toEqual({ kind: 'in', problem: PROBLEM })
  expect(reduce(signInFailed(PROBLEM), signInEnded())).toEqual({ kind: 'out', problem: PROBLEM })
})
