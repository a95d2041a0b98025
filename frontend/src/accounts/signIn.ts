/** The state of a person's sign-in, and the decisions about it. */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import type { Problem } from '../shared/problem.ts'

export interface SignInState {
  kind:
    /** The answer of a sign-in, or the tab's earlier one, is being checked. */
    | 'checking'
    | 'out'
    | 'in'
    /** Nobody asked for it: the page stays, and what is open goes on. */
    | 'ended'
  problem?: Problem | undefined
}

const initialState: SignInState = { kind: 'checking' }

export const signInSlice = createSlice({
  name: 'signIn',
  initialState,
  reducers: {
    signedIn: ({ problem }): SignInState => ({ kind: 'in', problem }),
    signedOut: (_, { payload: problem }: PayloadAction<Problem | undefined>): SignInState => ({
      kind: 'out',
      problem,
    }),
    signInFailed: (state, { payload: problem }: PayloadAction<Problem>): SignInState => ({
      ...state,
      problem,
    }),
    /** A sign-in that had worked is over; one that is restored at the start was none yet. */
    signInEnded: ({ kind, problem }): SignInState =>
      kind === 'in' || kind === 'ended' ? { kind: 'ended' } : { kind: 'out', problem },
  },
})

export const selectSignIn = ({ signIn }: { signIn: SignInState }) => signIn

/** A sign-in that this tab has started. */
export interface Pending {
  state: string
  nonce: string
  verifier: string
  /** Where the page was, an address of this origin. */
  returnTo: string
}

export type Arrival =
  /** The answer belongs to this tab's sign-in. */
  | { next: 'exchange'; pending: Pending; answer: URLSearchParams }
  /** There is no answer, or none that counts; the tab's earlier sign-in does. */
  | { next: 'restore'; problem?: Problem }

export const NOT_STARTED_HERE: Problem = {
  title: 'This sign-in was not started in this tab, so it was refused.',
  advice: 'Sign in here. If you did not expect this, somebody may have sent you the address.',
}

const DENIED: Problem = {
  title: 'You were not signed in.',
  advice: 'The sign-in was cancelled, or this account may not use Cloudscribe. Try again.',
}

const FAILED: Problem = {
  title: 'The sign-in did not work.',
  advice: 'Try again. If that does not help, ask whoever runs this server.',
}

/** Decides what to do with what the page was opened with. */
export function decideArrival(
  answer: URLSearchParams | undefined,
  pending: Pending | undefined,
): Arrival {
  if (answer === undefined) return { next: 'restore' }
  if (answer.getAll('state').join() !== pending?.state) {
    return { next: 'restore', problem: NOT_STARTED_HERE }
  }
  const error = answer.get('error')
  if (error === null) return { next: 'exchange', pending, answer }
  return { next: 'restore', problem: error === 'access_denied' ? DENIED : FAILED }
}

/** Returns the words for a code that could not be exchanged. */
export function describeFailure(isUnreachable: boolean): Problem {
  if (!isUnreachable) return FAILED
  return {
    title: 'The sign-in could not be completed, because the server did not answer.',
    advice: 'Check your network, then sign in again.',
  }
}

/** Reads what the tab's storage has; undefined where that is no pending sign-in. */
export function parsePending(text: string | undefined): Pending | undefined {
  if (text === undefined) return undefined
  try {
    const { state, nonce, verifier, returnTo } = JSON.parse(text) as Partial<Pending>
    if (!state || !nonce || !verifier || !returnTo) return undefined
    return { state, nonce, verifier, returnTo }
  } catch {
    return undefined
  }
}
