import type { AccountAccess, OpenAccess } from '../api.ts'

export type Access = ({ kind: 'open' } & OpenAccess) | ({ kind: 'accounts' } & AccountAccess)

/** What `/access.json` says, and how far the browser's clock is behind the server's, in seconds. */
export interface Found {
  access: Access
  clockSkew: number
}

const OPEN: Access = { kind: 'open' }

/**
 * Asks how people get in. A page without the file is open: that decides what is shown and protects
 * nothing, because the service asks for tickets either way.
 *
 * Throws where the server does not answer, so that an outage does not look like an open page.
 */
export async function findAccess(origin: string, now: () => number = Date.now): Promise<Found> {
  // Of the same form as the preload in index.html.
  const response = await fetch(new URL('/access.json', origin), { mode: 'cors' })
  const clockSkew = computeSkew(response.headers, now())
  if (response.status >= 500 || response.status === 429) {
    throw new Error(`/access.json: ${response.status}`)
  }
  // Some servers answer with the page itself where a file is missing.
  const isJson = response.headers.get('Content-Type')?.includes('json') === true
  if (!response.ok || !isJson) return { access: OPEN, clockSkew }
  const access = (await response.json()) as Access
  return { access: access.kind === 'accounts' ? access : OPEN, clockSkew }
}

function computeSkew(headers: Headers, now: number): number {
  const date = Date.parse(headers.get('Date') ?? '')
  if (Number.isNaN(date)) return 0
  return Math.round((date - now) / 1_000 + Number(headers.get('Age') ?? 0))
}
