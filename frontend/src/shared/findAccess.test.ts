import { afterEach, expect, it, vi } from 'vitest'

import { findAccess } from './findAccess.ts'

const ACCOUNTS = { kind: 'accounts', issuer: 'https://issuer' }

function answer(body: string, status = 200, headers: Record<string, string> = {}): void {
  vi.stubGlobal('fetch', () =>
    Promise.resolve(
      new Response(body, { status, headers: { 'Content-Type': 'application/json', ...headers } }),
    ),
  )
}

afterEach(() => {
  vi.unstubAllGlobals()
})

it('finds accounts', async () => {
  answer(JSON.stringify(ACCOUNTS))
  expect((await findAccess('https://host')).access).toEqual(ACCOUNTS)
})

it.each([
  ['the file says so', '{"kind":"open"}', 200, {}],
  ['there is no file', 'no', 404, {}],
  ['a bucket does not say whether there is one', '<Error/>', 403, {}],
  ['the page is served in its place', '<!doctype html>', 200, { 'Content-Type': 'text/html' }],
  ['it is of a kind that this page does not know', '{"kind":"other"}', 200, {}],
])('is open where %s', async (_, body, status, headers) => {
  answer(body, status, headers)
  expect((await findAccess('https://host')).access).toEqual({ kind: 'open' })
})

it.each([500, 503, 429])('takes %d for no answer', async (status) => {
  answer('', status)
  await expect(findAccess('https://host')).rejects.toThrow()
})

it('measures how far the clock is behind', async () => {
  const now = Date.parse('2026-12-01T10:00:00Z')
  answer('{"kind":"open"}', 200, { Date: 'Tue, 01 Dec 2026 11:00:00 GMT', Age: '5' })
  expect((await findAccess('https://host', () => now)).clockSkew).toBe(3_605)
  answer('{"kind":"open"}')
  expect((await findAccess('https://host', () => now)).clockSkew).toBe(0)
})
