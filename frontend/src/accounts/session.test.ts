import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import type { AccountAccess } from '../api.ts'
import type { TabStorage } from '../shared/tabStorage.ts'
import { TestClock } from './clock.test-support.ts'
import { IssuerClient } from './issuer.ts'
import { lockAcrossTabs, openChannel, type Renewal, Session, StorageForbidden } from './session.ts'

const ORIGIN = 'https://page.example'
const ACCESS: AccountAccess = {
  issuer: 'https://issuer.example/pool',
  pageClientId: 'page',
  programClientId: 'program',
  authorizationEndpoint: 'https://login.example/oauth2/authorize',
  tokenEndpoint: 'https://login.example/oauth2/token',
  logoutEndpoint: 'https://login.example/logout',
  revocationEndpoint: 'https://login.example/oauth2/revoke',
  scopes: ['openid', 'email'],
}

/** An issuer that rotates refresh tokens, and takes each one once. */
class FakeIssuer {
  refresh = 'r0'
  issued = 0
  nonce = ''
  requests: URLSearchParams[] = []
  failure: 'none' | 'network' | 'outage' = 'none'

  answer = async (_: string, { body }: { body: URLSearchParams }): Promise<Response> => {
    this.requests.push(body)
    await Promise.resolve()
    if (this.failure === 'network') throw new TypeError('fetch failed')
    if (this.failure === 'outage') return new Response('', { status: 503 })
    if (body.has('token')) return new Response('')
    const isWrong = body.has('refresh_token') && body.get('refresh_token') !== this.refresh
    if (isWrong) return Response.json({ error: 'invalid_grant' }, { status: 400 })
    this.issued += 1
    this.refresh = `r${this.issued}`
    return Response.json({
      access_token: `a${this.issued}`,
      refresh_token: this.refresh,
      token_type: 'Bearer',
      expires_in: 3_600,
      ...(body.has('code') ? { id_token: this.#idToken() } : {}),
    })
  }

  #idToken(): string {
    const seconds = Math.floor(Date.now() / 1_000)
    const encode = (part: object) =>
      btoa(JSON.stringify(part)).replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_')
    const claims = { iss: ACCESS.issuer, aud: 'page', sub: 's', nonce: this.nonce }
    const times = { iat: seconds, exp: seconds + 3_600 }
    return `${encode({ alg: 'RS256' })}.${encode({ ...claims, ...times })}.c2ln`
  }
}

class FakeStorage implements TabStorage {
  readonly values = new Map<string, string>()
  read = (name: string) => this.values.get(name)
  isForbidden = false
  write = (name: string, value: string) => {
    if (!this.isForbidden) this.values.set(name, value)
    return !this.isForbidden
  }
  remove = (name: string) => void this.values.delete(name)
  clear = () => {
    this.values.clear()
  }
}

let issuer: FakeIssuer
let clock: TestClock
let channels: { postMessage: (news: unknown) => void; onmessage: BroadcastChannel['onmessage'] }[]
let lock: Promise<unknown>

function openTab(storage = new FakeStorage()) {
  const log: string[] = []
  const channel: (typeof channels)[number] = {
    postMessage: (news) => {
      for (const other of channels) {
        if (other !== channel) other.onmessage?.call(channel as never, { data: news } as never)
      }
    },
    onmessage: null,
  }
  channels.push(channel)
  const session = new Session(
    new IssuerClient(ACCESS, `${ORIGIN}/`, 0),
    {
      storage,
      clock,
      channel,
      origin: ORIGIN,
      lock: (_, task) => {
        const result: Promise<Renewal> = lock.then(task)
        lock = result.catch(() => undefined)
        return result
      },
      forgetPerson: () => log.push('forgotten'),
      leave: (url) => log.push(url),
    },
    {
      onSignedIn: () => log.push('in'),
      onSignedOut: (problem) => log.push(problem === undefined ? 'out' : `out: ${problem.title}`),
      onEnded: () => log.push('ended'),
      onProblem: ({ title }) => log.push(title),
    },
  )
  return { session, storage, log }
}

/** Opens a tab, sends it to the sign-in at `returnTo`, and returns the answer that belongs to it. */
async function sentAway(returnTo = '/#/c/abc') {
  const tab = openTab()
  await tab.session.begin(returnTo)
  const question = new URL(tab.log.pop() ?? '')
  issuer.nonce = question.searchParams.get('nonce') ?? ''
  const state = question.searchParams.get('state') ?? ''
  return { ...tab, question, answer: new URLSearchParams({ code: 'c', state }) }
}

async function signedIn() {
  const { session, storage, log, answer } = await sentAway()
  await session.arrive(answer)
  log.length = 0
  return { session, storage, log }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  issuer = new FakeIssuer()
  clock = new TestClock()
  channels = []
  lock = Promise.resolve()
  vi.stubGlobal('fetch', issuer.answer)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

it('signs in by code and PKCE, and returns to where it began', async () => {
  const { session, storage, log, question, answer } = await sentAway('/?language=fr#/c/abc')
  expect(Object.fromEntries(question.searchParams)).toMatchObject({
    response_type: 'code',
    client_id: 'page',
    redirect_uri: `${ORIGIN}/`,
    scope: 'openid email',
    code_challenge_method: 'S256',
  })
  expect(await session.arrive(answer)).toBe('/?language=fr#/c/abc')
  expect(log).toEqual(['in'])
  expect(issuer.requests[0]?.get('code_verifier')).toMatch(/^[\w-]{43}$/)
  expect(await session.bearer()).toEqual({ token: 'a1' })
  // The access token is in memory alone.
  expect(Object.fromEntries(storage.values)).toEqual({ refresh: 'r1' })
})

it.each(['//evil.example/', 'https://evil.example/', '/\\evil.example'])(
  'does not return to %s',
  async (returnTo) => {
    const { session, answer } = await sentAway(returnTo)
    expect(await session.arrive(answer)).toBe('/')
  },
)

it('does not take an address of elsewhere from a storage that somebody changed', async () => {
  const { session, storage, answer } = await sentAway()
  const pending = JSON.parse(storage.read('sign-in') ?? '') as object
  storage.write('sign-in', JSON.stringify({ ...pending, returnTo: 'https://evil.example/' }))
  expect(await session.arrive(answer)).toBe('/')
})

it('refuses the answer of a sign-in that it has not started, and asks no issuer', async () => {
  const { session, log } = openTab()
  await session.arrive(new URLSearchParams({ code: 'c', state: 'x' }))
  expect(log.at(-1)).toMatch(/^out: This sign-in was not started in this tab/)
  expect(issuer.requests).toEqual([])
})

it('keeps the earlier sign-in when somebody else’s answer is refused', async () => {
  const { storage } = await signedIn()
  const { session, log } = openTab(storage)
  await session.arrive(new URLSearchParams({ code: 'c', state: 'x' }))
  expect(log).toEqual([expect.stringContaining('not started in this tab'), 'in'])
  expect(await session.bearer()).toEqual({ token: 'a2' })
})

it('takes each answer once', async () => {
  const { session, log, answer } = await sentAway()
  await session.arrive(answer)
  await session.arrive(answer)
  expect(log.some((line) => line.startsWith('This sign-in was not started'))).toBe(true)
})

it('refuses an ID token with another nonce', async () => {
  const { session, log, answer } = await sentAway()
  issuer.nonce = 'other'
  await session.arrive(answer)
  expect(log).toEqual(['out: The sign-in did not work.'])
  expect(await session.bearer()).toEqual({ none: 'ended' })
})

it('says that the issuer does not answer', async () => {
  for (const failure of ['network', 'outage'] as const) {
    const { session, log, answer } = await sentAway()
    issuer.failure = failure
    await session.arrive(answer)
    expect(log[0]).toMatch(/did not answer/)
    issuer.failure = 'none'
  }
})

it('renews before the end, in the background', async () => {
  const { session } = await signedIn()
  clock.pass(3_400)
  await vi.advanceTimersByTimeAsync(15_000)
  expect(issuer.issued).toBe(1)
  clock.pass(100)
  await vi.advanceTimersByTimeAsync(15_000)
  expect(issuer.issued).toBe(2)
  expect(await session.bearer()).toEqual({ token: 'a2' })
})

it('renews after a sleep, and not because the clock is set back', async () => {
  const { session } = await signedIn()
  clock.wallTime -= 86_400_000
  expect(await session.bearer()).toEqual({ token: 'a1' })
  clock.wallTime += 2 * 86_400_000
  expect(await session.bearer()).toEqual({ token: 'a2' })
})

it('renews once for calls at the same time', async () => {
  const { session } = await signedIn()
  clock.pass(4_000)
  const bearers = await Promise.all([session.bearer(), session.bearer(), session.bearer()])
  expect(bearers).toEqual(Array(3).fill({ token: 'a2' }))
  expect(issuer.issued).toBe(2)
})

it('gives new tokens to a duplicated tab, which would be refused with the old ones', async () => {
  const { session, storage } = await signedIn()
  const copy = openTab()
  copy.storage.write('refresh', storage.read('refresh') ?? '')
  const renewals = await Promise.all([session.renew(), copy.session.renew()])
  expect(renewals).toEqual(['renewed', 'renewed'])
  expect(issuer.issued).toBe(2)
  expect(await copy.session.bearer()).toEqual({ token: 'a2' })
  expect(copy.storage.read('refresh')).toBe('r2')
})

it('stays signed in while the issuer is away', async () => {
  const { session, log } = await signedIn()
  issuer.failure = 'outage'
  clock.pass(4_000)
  expect(await session.bearer()).toEqual({ none: 'unreachable' })
  expect(log).toEqual([])
  issuer.failure = 'none'
  expect(await session.bearer()).toEqual({ token: 'a2' })
})

it('stays signed in where something else answers in the issuer’s place', async () => {
  const { session, storage } = await signedIn()
  vi.stubGlobal('fetch', () => Promise.resolve(new Response('<p>Pay for the network</p>')))
  expect(await session.renew()).toBe('unreachable')
  vi.stubGlobal('fetch', () => Promise.resolve(new Response('no', { status: 404 })))
  expect(await session.renew()).toBe('unreachable')
  expect(storage.read('refresh')).toBe('r1')
})

it('ends when the issuer refuses, and forgets the token', async () => {
  const { session, storage, log } = await signedIn()
  issuer.refresh = 'revoked'
  expect(await session.renew()).toBe('ended')
  expect(log).toEqual(['ended'])
  expect(storage.values.size).toBe(0)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(log).toEqual(['ended'])
})

it('signs out here, in other tabs, and at the issuer', async () => {
  const { session, storage, log } = await signedIn()
  storage.write('link.abc', 'csl_secret')
  const other = await signedIn()
  const guest = openTab()
  guest.storage.write('link.abc', 'csl_secret')
  await session.signOut()
  expect(storage.values.size).toBe(0)
  // Each tab revokes the token of its own sign-in.
  const revoked = issuer.requests.flatMap((request) => request.get('token') ?? [])
  expect(revoked.sort()).toEqual(['r1', 'r2'])
  expect(log.slice(0, 2)).toEqual(['forgotten', 'out'])
  const url = new URL(log[2] ?? '')
  expect(url.origin + url.pathname).toBe('https://login.example/logout')
  expect(url.searchParams.get('logout_uri')).toBe(`${ORIGIN}/`)
  expect(other.log).toEqual(['forgotten', 'out'])
  expect(other.storage.values.size).toBe(0)
  expect(guest.log).toEqual([])
  expect(guest.storage.values.size).toBe(1)
})

/** Holds back the issuer's answers to renewals until `release` is called. */
function holdRenewals() {
  let release: () => void = () => undefined
  const held = new Promise<undefined>((resolve) => {
    release = () => {
      resolve(undefined)
    }
  })
  const answer = issuer.answer
  vi.stubGlobal('fetch', async (url: string, options: { body: URLSearchParams }) => {
    const response = await answer(url, options)
    if (options.body.has('refresh_token')) await held
    return response
  })
  return () => {
    release()
  }
}

it('stays signed out when the answer of a renewal arrives late', async () => {
  const { session, storage, log } = await signedIn()
  const copy = openTab()
  copy.storage.write('refresh', 'r1')
  const release = holdRenewals()
  const renewal = copy.session.renew()
  await vi.waitFor(() => {
    expect(issuer.issued).toBe(2)
  })
  await session.signOut()
  release()
  expect(await renewal).toBe('ended')
  for (const tab of [{ storage, log }, copy]) {
    expect(tab.storage.values.size).toBe(0)
    expect(tab.log).not.toContain('ended')
  }
  // Nobody can use the tokens that came too late.
  expect(issuer.requests.at(-1)?.get('token')).toBe('r2')
  expect(await copy.session.bearer()).toEqual({ none: 'ended' })
  expect(vi.getTimerCount()).toBe(0)
})

it('leaves the page in time where the issuer does not answer a sign-out', async () => {
  const { session, storage, log } = await signedIn()
  vi.stubGlobal('fetch', () => new Promise(() => undefined))
  vi.useFakeTimers()
  const leaving = session.signOut()
  expect(storage.values.size).toBe(0)
  await vi.advanceTimersByTimeAsync(3_000)
  await leaving
  expect(log.at(-1)).toMatch(/^https:\/\/login\.example\/logout/)
})

it('does not begin a sign-in whose answer it could not recognise', async () => {
  const { session, storage, log } = openTab()
  storage.isForbidden = true
  await expect(session.begin('/')).rejects.toThrow(StorageForbidden)
  expect(log).toEqual([])
})

it('renews without locks and channels where the browser forbids them', async () => {
  const renewed = () => Promise.resolve<Renewal>('renewed')
  const request = vi.fn(() => Promise.reject(new DOMException('', 'SecurityError')))
  vi.stubGlobal('navigator', { locks: { request } })
  expect(await lockAcrossTabs('name', renewed)).toBe('renewed')
  expect(request).toHaveBeenCalledOnce()
  vi.stubGlobal('navigator', { locks: { request: (_: string, task: () => unknown) => task() } })
  const failing = vi.fn(() => Promise.reject<Renewal>(new Error('once')))
  await expect(lockAcrossTabs('name', failing)).rejects.toThrow('once')
  expect(failing).toHaveBeenCalledOnce()
  vi.stubGlobal('BroadcastChannel', () => {
    throw new DOMException('', 'SecurityError')
  })
  expect(openChannel('name')).toBeUndefined()
})
