/** Calls of `/api/app/v1`. */

import type { IssuedTicket, NewTicket } from '../api.ts'
import { explainRefusal, type Refusal } from './refusals.ts'
import type { Issued } from './tickets.ts'

const ROOT = '/api/app/v1'
/** How long an answer may take, in milliseconds; a cold start takes some seconds. */
const TIMEOUT = 20_000

/** Who calls: a person with access tokens, or a guest with the secret of a link. */
export interface Caller {
  /** Returns the credential, or why there is none. */
  bearer: () => Promise<{ token: string } | { none: 'ended' | 'unreachable' }>
  /** Gets another credential after the API refused this one. */
  renew?: () => Promise<unknown>
}

export interface Call {
  path: string
  method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  body?: unknown
}

export type Answer = { data: unknown } | { error: Refusal }

export function asGuest(secret: string): Caller {
  return { bearer: () => Promise.resolve({ token: secret }) }
}

/** Makes a call; once more with a new credential where the API says that this one has ended. */
export async function call(origin: string, caller: Caller, wanted: Call): Promise<Answer> {
  const answer = await callOnce(origin, caller, wanted)
  if (!('error' in answer) || answer.error.reason !== 'token_invalid' || !caller.renew) {
    return answer
  }
  await caller.renew()
  return callOnce(origin, caller, wanted)
}

/** Asks for a ticket. */
export async function issueTicket(
  origin: string,
  caller: Caller,
  wanted: NewTicket,
): Promise<Issued> {
  const answer = await call(origin, caller, { path: '/tickets', method: 'POST', body: wanted })
  if ('error' in answer) return { refusal: answer.error }
  return { ticket: answer.data as IssuedTicket }
}

async function callOnce(
  origin: string,
  caller: Caller,
  { path, method = 'GET', body }: Call,
): Promise<Answer> {
  const bearer = await caller.bearer()
  if ('none' in bearer) {
    const ended = { reason: 'token_invalid', title: '', status: 401, detail: '' }
    return { error: explainRefusal(bearer.none === 'ended' ? 401 : undefined, ended) }
  }
  try {
    const response = await fetch(new URL(ROOT + path, origin), {
      method,
      headers: {
        Authorization: `Bearer ${bearer.token}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT),
    })
    if (response.status === 204) return { data: null }
    const data: unknown = await response.json().catch(() => undefined)
    if (!response.ok) return { error: explainRefusal(response.status, data) }
    // A captive portal answers with a page of its own.
    return data === undefined ? { error: explainRefusal(undefined, undefined) } : { data }
  } catch {
    return { error: explainRefusal(undefined, undefined) }
  }
}
