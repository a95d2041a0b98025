// @vitest-environment jsdom
import { webcrypto } from 'node:crypto'

import { act, cleanup, render, screen, waitFor, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import { Provider } from 'react-redux'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { IssuerClient } from '../accounts/issuer.ts'
import { CLOCK } from '../accounts/lifetime.ts'
import { Session } from '../accounts/session.ts'
import { signInSlice } from '../accounts/signIn.ts'
import type { Conversation, Link } from '../api.ts'
import { languagesOffered } from '../language/languageSlice.ts'
import { FakeSocket } from '../live/fakeSocket.test-support.ts'
import { takeSecrets } from '../shared/arrival.ts'
import { openTabStorage } from '../shared/tabStorage.ts'
import { AccountPage } from './AccountPage.tsx'
import { createAccountStore } from './accountStore.ts'

const SECRET = `csl_${'a'.repeat(26)}_${'b'.repeat(26)}`
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
    return Response.json(this.#answer(method, path, body, credential))
  }

  #answer(method: string, path: string, body: unknown, credential: string | null): unknown {
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
    if (method === 'PATCH') {
      const { title } = body as { title: string }
      this.conversations = this.conversations.map((each) =>
        path.endsWith(`/${each.conversationId}`) ? { ...each, title, version: 2 } : each,
      )
    }
    const found = this.conversations.find((each) => path.includes(`/${each.conversationId}`))
    return { ...found, links: this.links }
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

async function open(address: string, isSignedIn = true) {
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
  const view = render(
    <Provider store={store}>
      <AccountPage session={session} storage={storage} />
    </Provider>,
  )
  await act(() => session.arrive(answer))
  return { ...view, store, storage }
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

it('explains a link that lost its end', async () => {
  await open(`#/c/one/${SECRET.slice(0, -3)}`, false)
  expect(screen.getByRole('heading', { name: 'This link is incomplete.' })).toBeTruthy()
  expect(location.href).not.toContain('csl_')
  expect(api.requests).toEqual([])
})
