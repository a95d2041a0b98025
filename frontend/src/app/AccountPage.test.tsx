// @vitest-environment jsdom
import { webcrypto } from 'node:crypto'

import { act, cleanup, render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import { Fragment, StrictMode } from 'react'
import { Provider } from 'react-redux'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { IssuerClient } from '../accounts/issuer.ts'
import { CLOCK } from '../accounts/lifetime.ts'
import { Session } from '../accounts/session.ts'
import { signInSlice } from '../accounts/signIn.ts'
import type { Conversation, Key, Link, PersonView, Role, Scope } from '../api.ts'
import { languagesOffered } from '../language/languageSlice.ts'
import { FakeSocket } from '../live/fakeSocket.test-support.ts'
import { takeSecrets } from '../shared/arrival.ts'
import { openTabStorage } from '../shared/tabStorage.ts'
import { AccountPage } from './AccountPage.tsx'
import { createAccountStore } from './accountStore.ts'

const SECRET = `csl_${'a'.repeat(26)}_${'b'.repeat(26)}`
const KEY_SECRET = `csk_${'a'.repeat(26)}_${'c'.repeat(26)}`
const SAM = 'sam'.padEnd(26, 'x')
const SNAPSHOT = { type: 'snapshot', utterances: [], complete: true, seq: 0 }

const toConversation = (id: string, title: string, role: Conversation['role']): Conversation => ({
  conversationId: id,
  title,
  role,
  createdAt: '2026-11-30T10:00:00Z',
  version: 1,
})

/** jsdom lays nothing out. */
class NoResizes {
  observe = () => undefined
  disconnect = () => undefined
}

/** The API, in memory. */
class FakeApi {
  conversations = [
    toConversation('one', 'Stand-up', 'owner'),
    toConversation('two', 'Talk', 'reader'),
  ]
  links: Link[] = []
  roles: Record<string, Role> = {}
  keys: Key[] = []
  isAdministrator = false
  people: PersonView[] = [
    { subject: 'me', user: 'u1', email: 'ada@example.com', isAdministrator: true, hasJoined: true },
    { subject: SAM, user: 'u2', email: 'sam@example.com', hasJoined: true },
  ]
  languages: string[] | null = null
  guestRole: Link['role'] = 'reader'
  refusal: { path: RegExp; status: number; reason: string } | undefined
  requests: { method: string; path: string; body: unknown; credential: string | null }[] = []

  fetch = async (input: string | URL, init: RequestInit = {}): Promise<Response> => {
    await Promise.resolve()
    const url = new URL(input)
    if (url.host === 'issuer.example') {
      return Response.json({ access_token: 'a', token_type: 'Bearer', expires_in: 3_600 })
    }
    const path = url.pathname.replace('/api/app/v1', '') + url.search
    const method = init.method ?? 'GET'
    const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : undefined
    const credential = new Headers(init.headers).get('Authorization')
    this.requests.push({ method, path, body, credential })
    if (this.refusal?.path.test(`${method} ${path}`) === true) {
      const { status, reason } = this.refusal
      return Response.json({ reason, status, title: '', detail: 'Words.' }, { status })
    }
    if (method === 'DELETE' && path.startsWith('/keys/')) {
      this.keys = this.keys.filter(({ keyId }) => path !== `/keys/${keyId}`)
      return new Response(null, { status: 204 })
    }
    return Response.json(this.#answer(method, path, body, credential))
  }

  #answerPeople(method: string, path: string, body: unknown): unknown {
    if (method === 'POST') {
      const { email, isAdministrator } = body as Required<PersonView>
      const invited: PersonView = { subject: 'new', user: 'u3', email, isAdministrator }
      this.people = [...this.people, invited]
      return invited
    }
    if (method === 'PATCH') {
      const user = decodeURIComponent(path.replace('/people/', ''))
      const { isBlocked } = body as { isBlocked: boolean }
      const found = this.people.find((each) => each.user === user)
      const changed = { ...(found ?? { subject: 's', user }), isBlocked }
      this.people = this.people.map((each) => (each.user === user ? changed : each))
      return changed
    }
    // A person a page.
    const at = Number(new URLSearchParams(path.split('?')[1]).get('cursor') ?? 0)
    const cursor = at + 1 < this.people.length ? { cursor: String(at + 1) } : {}
    return { people: this.people.slice(at, at + 1), ...cursor }
  }

  #answer(method: string, path: string, body: unknown, credential: string | null): unknown {
    if (path === '/me') return { subject: 'me', isAdministrator: this.isAdministrator }
    if (path.startsWith('/people')) return this.#answerPeople(method, path, body)
    if (path === '/keys' && method === 'GET') return { keys: this.keys }
    if (path === '/keys') {
      const { label, scopes } = body as { label: string; scopes: Scope[] }
      const key: Key = {
        keyId: 'k1',
        label,
        scopes,
        createdAt: '2026-12-01T10:00:00Z',
        expiresAt: '2099-03-01T10:00:00Z',
      }
      this.keys = [...this.keys, key]
      return { key, secret: KEY_SECRET }
    }
    if (path === '/conversations' && method === 'GET') {
      return { conversations: this.conversations, cursor: 'more/1' }
    }
    if (path.startsWith('/conversations?cursor=')) {
      return { conversations: [toConversation('old', 'Older', 'speaker')] }
    }
    if (path === '/conversations') {
      const { title } = body as { title: string }
      const created = toConversation('new', title, 'owner')
      this.conversations = [created, ...this.conversations]
      return created
    }
    if (path === '/tickets') {
      const { conversationId, action } = body as { conversationId: string; action: string }
      const known = this.conversations.find((each) => each.conversationId === conversationId)
      const isGuest = credential === `Bearer ${SECRET}`
      return {
        ticket: `${action}.ticket`,
        conversationId,
        action,
        title: known?.title ?? 'Talk',
        role: isGuest ? this.guestRole : known?.role,
        expiresAt: '2026-12-01T00:00:00Z',
        secondsLeft: 600,
        languages: isGuest ? this.languages : null,
      }
    }
    if (path.endsWith('/links')) {
      const { role, label = 'Link' } = body as Partial<Link>
      const link: Link = {
        linkId: 'l1',
        role: role ?? 'reader',
        label,
        createdAt: '2026-12-01T10:00:00Z',
        expiresAt: '2026-12-31T10:00:00Z',
      }
      this.links = [link]
      return { link, secret: SECRET }
    }
    if (path.includes('/links/')) this.links = []
    const person = /\/people\/(.*)$/.exec(path)?.[1]
    if (person !== undefined) {
      const others = Object.entries(this.roles).filter(([subject]) => subject !== person)
      this.roles = Object.fromEntries(others)
      if (method === 'PUT') this.roles[person] = (body as { role: Role }).role
    }
    if (method === 'PATCH') {
      const { title } = body as { title: string }
      this.conversations = this.conversations.map((each) =>
        path.endsWith(`/${each.conversationId}`) ? { ...each, title, version: 2 } : each,
      )
    }
    const found = this.conversations.find((each) => path.includes(`/${each.conversationId}`))
    return { ...found, links: this.links, people: this.roles }
  }
}

let api: FakeApi
let left: string[]
const user = userEvent.setup()

beforeEach(() => {
  api = new FakeApi()
  left = []
  sessionStorage.clear()
  localStorage.clear()
  FakeSocket.all = []
  vi.stubGlobal('fetch', api.fetch)
  vi.stubGlobal('WebSocket', FakeSocket)
  vi.stubGlobal('ResizeObserver', NoResizes)
  // jsdom's has no digests, and its arrays are foreign to Node's.
  const digest = async (name: string, data: Uint8Array) =>
    Uint8Array.from(new Uint8Array(await webcrypto.subtle.digest(name, Buffer.from(data)))).buffer
  vi.stubGlobal('crypto', {
    getRandomValues: (array: Uint8Array) => webcrypto.getRandomValues(array),
    subtle: { digest },
  })
  HTMLDialogElement.prototype.showModal = function (this: HTMLDialogElement) {
    this.open = true
  }
  HTMLDialogElement.prototype.close = function (this: HTMLDialogElement) {
    this.open = false
    this.dispatchEvent(new Event('close'))
  }
})
afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

async function open(address: string, isSignedIn = true, isStrict = false) {
  history.replaceState(null, '', `/${address}`)
  const storage = openTabStorage()
  if (isSignedIn) storage.write('refresh', 'r')
  const answer = takeSecrets(storage)
  const session = new Session(
    new IssuerClient(
      {
        issuer: 'https://issuer.example',
        pageClientId: 'page',
        programClientId: 'program',
        authorizationEndpoint: 'https://issuer.example/authorize',
        tokenEndpoint: 'https://issuer.example/token',
      },
      `${location.origin}/`,
      0,
    ),
    {
      storage,
      clock: CLOCK,
      origin: location.origin,
      channel: undefined,
      lock: (_, task) => task(),
      forgetPerson: () => undefined,
      leave: (url) => left.push(url),
    },
    {
      onSignedIn: () => store.dispatch(signInSlice.actions.signedIn()),
      onSignedOut: (problem) => store.dispatch(signInSlice.actions.signedOut(problem)),
      onEnded: () => store.dispatch(signInSlice.actions.signInEnded()),
      onProblem: (problem) => store.dispatch(signInSlice.actions.signInFailed(problem)),
    },
  )
  const store = createAccountStore({
    origin: location.origin,
    caller: { bearer: () => session.bearer(), renew: () => session.renew() },
  })
  const Mode = isStrict ? StrictMode : Fragment
  const view = render(
    <Mode>
      <Provider store={store}>
        <AccountPage session={session} storage={storage} issuer="https://issuer.example" />
      </Provider>
    </Mode>,
  )
  await act(() => session.arrive(answer))
  return { ...view, store, storage, session }
}

/** Fails where axe finds something; jsdom lays nothing out, so contrast is for browsers. */
async function expectAccessible(): Promise<void> {
  const { violations } = await axe.run(document.body, {
    rules: { 'color-contrast': { enabled: false } },
  })
  expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([])
}

const sockets = (count: number) =>
  waitFor(() => {
    expect(FakeSocket.all).toHaveLength(count)
  })

it('asks whoever is not signed in to sign in, and comes back to the same conversation', async () => {
  const { storage } = await open('#/c/one', false)
  await expectAccessible()
  await user.click(screen.getByRole('button', { name: 'Sign in' }))
  await waitFor(() => {
    expect(left).toHaveLength(1)
  })
  expect(left[0]).toMatch(/^https:\/\/issuer\.example\/authorize\?/)
  expect(storage.read('sign-in')).toContain('"returnTo":"/#/c/one"')
})

it('can be used again after the way back from the sign-in', async () => {
  await open('', false)
  await user.click(screen.getByRole('button', { name: 'Sign in' }))
  expect(screen.getByRole('button', { name: 'Sign in' })).toHaveProperty('disabled', true)
  act(() => {
    window.dispatchEvent(new Event('pageshow')) // as it was left, from the browser's cache
  })
  await user.click(screen.getByRole('button', { name: 'Sign in' }))
  expect(left).toHaveLength(2)
})

it('says that nobody can sign in where the browser keeps nothing', async () => {
  await open('', false)
  vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
    throw new DOMException('', 'SecurityError')
  })
  await user.click(screen.getByRole('button', { name: 'Sign in' }))
  expect((await screen.findByRole('alert')).textContent).toMatch(/Allow cookies and site data/)
  expect(left).toEqual([])
  expect(screen.getByRole('button', { name: 'Sign in' })).toHaveProperty('disabled', false)
  vi.restoreAllMocks()
})

it('shows nothing of one person to the next', async () => {
  const { session, storage } = await open(`#/c/one/${SECRET}`)
  await sockets(1)
  location.hash = '#/'
  await screen.findByRole('link', { name: 'Stand-up' })
  await act(() => session.signOut())
  expect(document.body.textContent).not.toContain('Stand-up')
  expect(storage.read('link.one')).toBeUndefined()
  location.hash = '#/c/one'
  expect(await screen.findByRole('button', { name: 'Sign in' })).toBeTruthy()
  expect(FakeSocket.all).toHaveLength(1)
})

it('says why a sign-in was refused', async () => {
  await open('?code=c&state=x', false)
  expect(screen.getByRole('alert').textContent).toMatch(/not started in this tab.*Sign in here/)
  expect(location.search).toBe('')
})

it('lists conversations, page by page', async () => {
  await open('')
  expect(await screen.findByRole('link', { name: 'Stand-up' })).toBeTruthy()
  expect(screen.getAllByRole('listitem')).toHaveLength(2)
  await expectAccessible()
  await user.click(screen.getByRole('button', { name: 'Show older ones' }))
  expect(await screen.findByRole('link', { name: 'Older' })).toBeTruthy()
  expect(api.requests.at(-1)?.path).toBe('/conversations?cursor=more%2F1')
  expect(screen.queryByRole('button', { name: 'Show older ones' })).toBeNull()
})

it('creates a conversation and opens it with a ticket', async () => {
  await open('')
  await user.type(screen.getByLabelText('Title of a new conversation'), ' Lecture {Enter}')
  await sockets(1)
  expect(location.hash).toBe('#/c/new')
  expect(FakeSocket.last.protocols).toEqual(['cloudscribe.v1', 'ticket.read.ticket'])
  expect(FakeSocket.last.url).not.toContain('ticket')
  act(() => {
    FakeSocket.last.receive(SNAPSHOT)
  })
  expect(screen.getByText('Lecture')).toBeTruthy()
  expect(document.activeElement?.tagName).toBe('H1')
  expect(document.title).not.toContain('Lecture')
})

it('renames with the keyboard, and gives the focus back', async () => {
  await open('')
  const rename = await screen.findByRole('button', { name: 'Rename Stand-up' })
  rename.focus()
  await user.keyboard('{Enter}')
  expect(document.activeElement).toBe(screen.getByLabelText('New title'))
  await user.keyboard('{Escape}')
  expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Rename Stand-up' }))
  await user.keyboard('{Enter}')
  await user.clear(screen.getByLabelText('New title'))
  await user.keyboard('Daily{Enter}')
  expect(await screen.findByRole('link', { name: 'Daily' })).toBeTruthy()
  expect(document.activeElement).toBe(screen.getByRole('button', { name: 'Rename Daily' }))
  expect(api.requests.find(({ method }) => method === 'PATCH')?.body).toEqual({
    title: 'Daily',
    version: 1,
  })
})

it('says that somebody else has changed a title, and reads it again', async () => {
  await open('')
  await user.click(await screen.findByRole('button', { name: 'Rename Stand-up' }))
  api.refusal = { path: /^PATCH/, status: 409, reason: 'changed' }
  const before = api.requests.length
  await user.keyboard('x{Enter}')
  expect(await screen.findByText(/Somebody else changed this/)).toBeTruthy()
  await waitFor(() => {
    expect(api.requests.slice(before).map(({ method }) => method)).toEqual(['PATCH', 'GET'])
  })
})

it('makes a link that is shown once, and revokes it', async () => {
  const { store } = await open('#/c/one')
  act(() => {
    store.dispatch(
      languagesOffered({ recognition: [], translation: ['fr', 'de'], translator: 'x' }),
    )
  })
  await user.click(await screen.findByRole('button', { name: 'Share' }))
  const dialog = within(await screen.findByRole('dialog', { name: 'Share this conversation' }))
  await user.click(dialog.getByLabelText('read and speak'))
  await user.type(dialog.getByLabelText(/^Label/), 'Hall')
  await user.click(dialog.getByText('Translations: all'))
  await user.click(dialog.getByLabelText('French'))
  await user.click(dialog.getByRole('button', { name: 'Make a link' }))
  expect(await dialog.findByText(`${location.origin}/#/c/one/${SECRET}`)).toBeTruthy()
  expect(api.requests.find(({ path }) => path.endsWith('/links'))?.body).toEqual({
    role: 'speaker',
    label: 'Hall',
    days: 30,
    languages: ['fr'],
  })
  await expectAccessible()
  await user.click(await dialog.findByRole('button', { name: 'Revoke Hall' }))
  expect(await dialog.findByText('There is none.')).toBeTruthy()
  expect(document.activeElement?.textContent).toBe('Links that work now')

  // The next time the dialog is opened, nothing has the secret any more.
  await user.click(dialog.getByRole('button', { name: 'Close' }))
  await waitFor(() => {
    expect(document.body.textContent).not.toContain('csl_')
  })
  await user.click(screen.getByRole('button', { name: 'Share' }))
  expect(document.body.textContent).not.toContain('csl_')
  expect(JSON.stringify(store.getState())).not.toContain('csl_')
})

it('lets a guest read with a link alone, and keeps the secret out of sight', async () => {
  await open(`#/c/one/${SECRET}`, false)
  await sockets(1)
  expect(location.hash).toBe('#/c/one')
  expect(api.requests.map(({ credential }) => credential)).toEqual([`Bearer ${SECRET}`])
  expect(screen.queryByRole('button', { name: 'Start' })).toBeNull()
  expect(screen.queryByRole('button', { name: 'Speak in this conversation' })).toBeNull()
  expect(screen.queryByRole('button', { name: 'Share' })).toBeNull()
  expect(Object.values(localStorage).join()).not.toContain('csl_')
  await expectAccessible()
  cleanup()
  await open('#/c/one', false) // a reload
  await sockets(2)
})

it('lets a guest speak where the link allows it, and read in its languages alone', async () => {
  api.guestRole = 'speaker'
  api.languages = ['fr']
  localStorage.setItem('cloudscribe.language', 'de')
  const { store } = await open(`#/c/one/${SECRET}`)
  act(() => {
    store.dispatch(
      languagesOffered({ recognition: [], translation: ['fr', 'de'], translator: 'x' }),
    )
  })
  expect(await screen.findByRole('button', { name: 'Start' })).toBeTruthy()
  const choices = within(screen.getByLabelText('Captions in')).getAllByRole('option')
  expect(choices.map(({ textContent }) => textContent)).toEqual(['Original', 'French'])
  expect(FakeSocket.all.every(({ url }) => !url.includes('language=de'))).toBe(true)
  expect(screen.getByText(/There are no captions in German here/)).toBeTruthy()
})

it.each([
  ['link_invalid', 401, 'This link does not work any more.'],
  ['blocked', 403, 'This account was blocked.'],
])('says in words that a ticket was refused: %s', async (reason, status, words) => {
  api.refusal = { path: /tickets/, status, reason }
  await open(`#/c/one/${SECRET}`, false)
  expect(await screen.findByRole('heading', { name: words })).toBeTruthy()
  expect(screen.queryByRole('button', { name: 'Try again' })).toBeNull()
  expect(FakeSocket.all).toEqual([])
  await expectAccessible()
})

it('lets whoever is signed in go on without a link that has ended', async () => {
  api.refusal = { path: /tickets/, status: 401, reason: 'link_invalid' }
  const { storage } = await open(`#/c/one/${SECRET}`)
  const button = await screen.findByRole('button', { name: 'Open it with your account' })
  await expectAccessible()
  api.refusal = undefined
  await user.click(button)
  await sockets(1)
  expect(api.requests.at(-1)?.credential).toBe('Bearer a')
  expect(storage.read('link.one')).toBeUndefined()
})

it('lets people try again where that can help', async () => {
  api.refusal = { path: /tickets/, status: 503, reason: 'unavailable' }
  await open('#/c/one')
  const again = await screen.findByRole('button', { name: 'Try again' })
  api.refusal = undefined
  await user.click(again)
  await sockets(1)
})

it('shows the words when access is taken away, and does not come back', async () => {
  await open(`#/c/one/${SECRET}`, false)
  await sockets(1)
  act(() => {
    FakeSocket.last.receive(SNAPSHOT)
    FakeSocket.last.receive({ type: 'error', code: 'access_revoked', retryable: false } as never)
  })
  expect(screen.getByRole('alert').textContent).toMatch(/You have no access .* any more/)
  expect(FakeSocket.all).toHaveLength(1)
})

it('keeps the conversation open when the sign-in ends, and asks to sign in again', async () => {
  const { store } = await open('#/c/one')
  await screen.findByRole('button', { name: 'Share' })
  act(() => {
    store.dispatch(signInSlice.actions.signInEnded())
  })
  expect(screen.getByRole('button', { name: 'Sign in again' })).toBeTruthy()
  expect(FakeSocket.last.closed).toBe(false)
  await expectAccessible()
})

it('leaves nothing of a conversation behind on the way to the next one', async () => {
  await open('#/c/one')
  await sockets(1)
  act(() => {
    FakeSocket.last.receive({
      ...SNAPSHOT,
      utterances: [
        {
          utteranceId: 'u',
          speaker: 'Ada',
          language: 'en',
          startTime: 0,
          endTime: 1,
          text: 'only here',
          timestamp: '2026-12-01T10:00:00.000Z',
        },
      ],
    } as never)
  })
  expect(screen.getByText('only here')).toBeTruthy()
  const first = FakeSocket.last
  await user.click(screen.getByRole('link', { name: 'Conversations' }))
  await user.click(await screen.findByRole('link', { name: 'Talk' }))
  await sockets(2)
  expect(first.closed).toBe(true)
  act(() => {
    FakeSocket.last.receive(SNAPSHOT)
  })
  expect(screen.queryByText('only here')).toBeNull()
})

it('asks once and opens one socket where React runs effects twice', async () => {
  const { unmount } = await open('#/c/one', true, true)
  await sockets(1)
  expect(api.requests.filter(({ path }) => path === '/tickets')).toHaveLength(1)
  act(() => {
    FakeSocket.last.receive(SNAPSHOT)
  })
  expect(FakeSocket.all.map(({ closed }) => closed)).toEqual([false])
  unmount()
  expect(FakeSocket.last.closed).toBe(true)
})

it('explains a link that lost its end', async () => {
  await open(`#/c/one/${SECRET.slice(0, -3)}`, false)
  expect(screen.getByRole('heading', { name: 'This link is incomplete.' })).toBeTruthy()
  expect(location.href).not.toContain('csl_')
  expect(api.requests).toEqual([])
})

it('makes an API key that is shown once, and revokes it', async () => {
  const { store } = await open('#/account')
  await user.click(await screen.findByLabelText('speak in them'))
  expect(screen.getByText('me', { selector: 'code' })).toBeTruthy()
  await user.type(screen.getByLabelText(/^Label/), ' Stage {Enter}')
  expect(await screen.findByText(KEY_SECRET)).toBeTruthy()
  expect(
    api.requests.find(({ method, path }) => method === 'POST' && path === '/keys')?.body,
  ).toEqual({ label: 'Stage', scopes: ['read', 'speak'], days: 90 })
  await expectAccessible()
  await user.click(await screen.findByRole('button', { name: 'Revoke Stage' }))
  expect(await screen.findByText('There is none.')).toBeTruthy()
  expect(document.activeElement?.textContent).toBe('Keys that were made')

  await user.click(screen.getByRole('link', { name: 'Conversations' }))
  await screen.findByRole('heading', { name: 'Your conversations' })
  location.hash = '#/account'
  await screen.findByRole('heading', { name: 'Your account' })
  expect(document.body.textContent).not.toContain('csk_')
  await waitFor(() => {
    expect(JSON.stringify(store.getState())).not.toContain('csk_')
  })
  expect(JSON.stringify([localStorage, sessionStorage])).not.toContain('csk_')
})

it('makes no key that is for nothing', async () => {
  await open('#/account')
  await user.click(await screen.findByLabelText('read your conversations'))
  expect(screen.getByRole('button', { name: 'Make a key' })).toHaveProperty('disabled', true)
})

it('marks the keys that have ended', async () => {
  api.keys = [
    {
      keyId: 'k0',
      label: 'Old',
      scopes: ['read'],
      createdAt: '2020-01-01T00:00:00Z',
      expiresAt: '2020-02-01T00:00:00Z',
    },
  ]
  await open('#/account')
  expect((await screen.findByText('Old')).parentElement?.textContent).toMatch(/Ended .*2020/)
})

it('shows the way to the people to administrators alone', async () => {
  await open('')
  await screen.findByRole('link', { name: 'Stand-up' })
  expect(screen.queryByRole('link', { name: 'People' })).toBeNull()
  cleanup()
  api.isAdministrator = true
  await open('')
  const nav = within(screen.getByRole('navigation', { name: 'Pages' }))
  expect(nav.getByRole('link', { current: 'page' }).textContent).toBe('Conversations')
  await user.click(await nav.findByRole('link', { name: 'People' }))
  expect(await screen.findByRole('heading', { name: 'People' })).toBe(document.activeElement)
})

it('refuses the people’s page to others in words', async () => {
  api.refusal = { path: /people/, status: 403, reason: 'administrators_only' }
  await open('#/people')
  expect(await screen.findByText('Only administrators may do this.')).toBeTruthy()
})

it('invites people, and blocks and unblocks them', async () => {
  api.isAdministrator = true
  await open('#/people')
  await screen.findByText('ada@example.com')
  await user.type(screen.getByLabelText('E-mail address of a new person'), 'eve@example.com')
  await user.click(screen.getByLabelText('may manage people, too'))
  await user.keyboard('{Enter}')
  await user.click(screen.getByRole('button', { name: 'Invite' }))
  expect(
    await screen.findByText('eve@example.com gets an e-mail with a first password.'),
  ).toBeTruthy()
  expect(api.people.at(-1)).toMatchObject({ email: 'eve@example.com', isAdministrator: true })
  await user.click(screen.getByRole('button', { name: 'Show more' }))
  const block = await screen.findByRole('button', { name: 'Block sam@example.com' })
  await expectAccessible()
  await user.click(block)
  expect(await screen.findByRole('button', { name: 'Unblock sam@example.com' })).toBe(
    document.activeElement,
  )
  expect(screen.getByText(/^Blocked\./)).toBeTruthy()
  await user.keyboard('{Enter}')
  expect(await screen.findByRole('button', { name: 'Block sam@example.com' })).toBeTruthy()
})

it.each([
  ['exists', 409, 'This person has an account already.'],
  ['unavailable', 503, 'The server cannot do this at the moment.'],
])('says why nobody was invited: %s', async (reason, status, words) => {
  await open('#/people')
  api.refusal = { path: /^POST .people/, status, reason }
  await user.type(await screen.findByLabelText('E-mail address of a new person'), 'a@b.org{Enter}')
  expect(await screen.findByText(words)).toBeTruthy()
})

it('says that a person does not exist any more', async () => {
  await open('#/people')
  api.refusal = { path: /^PATCH/, status: 404, reason: 'not_found' }
  await user.click(await screen.findByRole('button', { name: 'Block ada@example.com' }))
  expect(await screen.findByText('There is no such person any more.')).toBeTruthy()
})

it('says where people are managed elsewhere, and blocks them here', async () => {
  api.isAdministrator = true
  api.refusal = { path: /^GET .people/, status: 404, reason: 'people_elsewhere' }
  await open('#/people')
  expect(await screen.findByText('issuer.example')).toBeTruthy()
  await expectAccessible()
  await user.type(screen.getByLabelText(/^The person’s subject/), 'auth0|7/x')
  await user.click(screen.getByRole('button', { name: 'Block' }))
  expect(await screen.findByText('auth0|7/x is blocked.')).toBeTruthy()
  expect(api.requests.find(({ method }) => method === 'PATCH')).toMatchObject({
    path: '/people/auth0%7C7%2Fx',
    body: { isBlocked: true },
  })
  await user.click(screen.getByRole('button', { name: 'Unblock' }))
  expect(await screen.findByText('auth0|7/x is not blocked any more.')).toBeTruthy()
})

it('gives roles by id, changes them, and takes them away', async () => {
  await open('#/c/one')
  await user.click(await screen.findByRole('button', { name: 'Share' }))
  const dialog = within(await screen.findByRole('dialog'))
  await user.type(await dialog.findByLabelText('Id of a person'), SAM)
  await user.selectOptions(dialog.getByLabelText('Role'), 'speaker')
  await user.click(dialog.getByRole('button', { name: 'Give the role' }))
  const role = await dialog.findByLabelText(`Role of ${SAM}`)
  expect(dialog.getByText(`${SAM} has the role.`)).toBeTruthy()
  expect(role).toHaveProperty('value', 'speaker')
  await expectAccessible()
  await user.selectOptions(role, 'reader')
  await waitFor(() => {
    expect(api.roles).toEqual({ [SAM]: 'reader' })
  })
  await user.click(dialog.getByRole('button', { name: `Remove ${SAM}` }))
  expect(await dialog.findByText('Nobody but you.')).toBeTruthy()
  expect(document.activeElement?.textContent).toBe('People with a role')
  // Who is no administrator may not know whose address it is.
  expect(api.requests.some(({ path }) => path.startsWith('/people'))).toBe(false)
})

it('lets administrators give roles by e-mail address', async () => {
  api.isAdministrator = true
  await open('#/c/one')
  await user.click(await screen.findByRole('button', { name: 'Share' }))
  const dialog = within(await screen.findByRole('dialog'))
  const field = await dialog.findByLabelText('E-mail address or id of a person')
  await user.type(field, 'nobody@example.com{Enter}')
  expect(await dialog.findByText('Nobody here has this e-mail address.')).toBeTruthy()
  await user.clear(field)
  await user.type(field, 'Sam@Example.com{Enter}') // on the second page of people
  expect(await dialog.findByText('Sam@Example.com has the role.')).toBeTruthy()
  expect(api.roles).toEqual({ [SAM]: 'reader' })
})
