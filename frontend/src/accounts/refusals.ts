/** Why the API refuses, as people read it. */

import type { Problem as ApiProblem } from '../api.ts'
import type { Problem } from '../shared/problem.ts'

export interface Refusal extends Problem {
  /** The problem's reason; `unreachable` where there was no answer. */
  reason: string
  /** Trying again can help. */
  isTransient: boolean
}

const WORDS: Partial<Record<string, Problem>> = {
  not_signed_in: { title: 'You are not signed in.', advice: 'Sign in, then try again.' },
  token_invalid: { title: 'Your sign-in has ended.', advice: 'Sign in again.' },
  blocked: {
    title: 'This account was blocked.',
    advice: 'Ask an administrator of this server.',
  },
  not_found: {
    title: 'There is no such conversation of yours.',
    advice:
      'Check the link, or ask its owner for one. You may be signed in with another account than before.',
  },
  link_invalid: {
    title: 'This link does not work any more.',
    advice: 'It has ended, was taken back, or is incomplete. Ask for a new one.',
  },
  role_missing: {
    title: 'You may not do this in this conversation.',
    advice: 'Ask its owner for a link that allows it.',
  },
  administrators_only: {
    title: 'Only administrators may do this.',
    advice: 'Ask one of them. Whoever became one a moment ago signs out and in again.',
  },
  exists: {
    title: 'This person has an account already.',
    advice: 'Look for the address in the list.',
  },
  is_yourself: { title: 'You cannot block yourself.', advice: 'Ask another administrator.' },
  is_owner: {
    title: 'This is the owner, who has all rights.',
    advice: 'Give the role to somebody else.',
  },
  changed: {
    title: 'Somebody else changed this a moment ago.',
    advice: 'It was read again. Look at it, then repeat your change.',
  },
}

const UNREACHABLE: Refusal = {
  reason: 'unreachable',
  isTransient: true,
  title: 'The server cannot be reached.',
  advice: 'Check your network, then try again.',
}

/** Returns the words for an answer that is no success; `status` is undefined where there was none. */
export function explainRefusal(status: number | undefined, body: unknown): Refusal {
  if (status === undefined) return UNREACHABLE
  const isTransient = status >= 500 || status === 429
  const reason = isProblem(body) ? body.reason : 'unknown'
  const words = WORDS[reason]
  if (words !== undefined && Object.hasOwn(WORDS, reason)) return { reason, isTransient, ...words }
  if (status === 429 && reason === 'unknown') {
    return {
      reason,
      isTransient,
      title: 'There were too many requests.',
      advice: 'Wait a moment, then try again.',
    }
  }
  return {
    reason,
    isTransient,
    title: isTransient ? 'The server cannot do this at the moment.' : 'The server refused.',
    advice: isProblem(body) && body.detail !== '' ? body.detail : 'Try again in a moment.',
  }
}

function isProblem(body: unknown): body is ApiProblem {
  return (
    typeof body === 'object' &&
    body !== null &&
    typeof (body as Partial<ApiProblem>).reason === 'string' &&
    typeof (body as Partial<ApiProblem>).detail === 'string'
  )
}
