import { afterEach, expect, it, vi } from 'vitest'

import { asGuest, call, type Caller } from './apiCalls.ts'

const REFUSED = { reason: 'token_invalid', title: '', status: 401, detail: '' }

afterEach(() => {
  vi.unstubAllGlobals()
})

function answer(...responses: Response[]) {
  const fetching = vi.fn(() => Promise.resolve(responses.shift() ?? Response.json(null)))
  vi.stubGlobal('fetch', fetching)
  return fetching
}

it('sends a secret in a header, never in an address', async () => {
  const fetching = answer(Response.json({ ok: true }))
  await call('https://host', asGuest('csl_secret'), { path: '/tickets', method: 'POST', body: {} })
  const [url, options] = fetching.mock.calls[0] as unknown as [URL, RequestInit]
  expect(url.href).toBe('https://host/api/app/v1/tickets')
  expect(options.headers).toMatchObject({ Authorization: 'Bearer csl_secret' })
})

it('calls once more with a new token, and then believes the refusal', async () => {
  const renew = vi.fn(() => Promise.resolve())
  const caller: Caller = { bearer: () => Promise.resolve({ token: 't' }), renew }
  answer(Response.json(REFUSED, { status: 401 }), Response.json({ ok: true }))
  expect(await call('https://host', caller, { path: '/me' })).toEqual({ data: { ok: true } })
  answer(Response.json(REFUSED, { status: 401 }), Response.json(REFUSED, { status: 401 }))
  expect(await call('https://host', caller, { path: '/me' })).toMatchObject({
    error: { reason: 'token_invalid' },
  })
  expect(renew).toHaveBeenCalledTimes(2)
})

it('calls nobody without a token', async () => {
  const fetching = answer()
  for (const [none, reason] of [
    ['ended', 'token_invalid'],
    ['unreachable', 'unreachable'],
  ] as const) {
    const caller: Caller = { bearer: () => Promise.resolve({ none }) }
    expect(await call('https://host', caller, { path: '/me' })).toMatchObject({ error: { reason } })
  }
  expect(fetching).not.toHaveBeenCalled()
})

it('takes a page of somebody else for no answer', async () => {
  answer(new Response('<p>Pay for the network</p>', { headers: { 'Content-Type': 'text/html' } }))
  expect(await call('https://host', asGuest('t'), { path: '/tickets' })).toMatchObject({
    error: { reason: 'unreachable', isTransient: true },
  })
})

it('takes an answer without content for success', async () => {
  answer(new Response(null, { status: 204 }))
  const answered = await call('https://host', asGuest('t'), { path: '/keys/k', method: 'DELETE' })
  expect(answered).toEqual({ data: null })
})
