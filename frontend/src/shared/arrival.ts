/**
 * What the page was opened with. Secrets leave the address before anything else happens, so neither
 * the tab's way back, nor a screenshot, nor a copied address has them. The list of visited pages
 * that a browser keeps does have the address of a share link: Chromium notes it when it is opened,
 * and no page can change that.
 *
 *     #/c/ID            a conversation
 *     #/c/ID/csl_...    a share link; its secret moves to the tab's storage
 *     ?code&state       the answer of a sign-in
 */

import type { TabStorage } from './tabStorage.ts'

export type Route =
  | { kind: 'home' }
  | { kind: 'conversation'; id: string }
  /** A share link that is incomplete. */
  | { kind: 'broken_link' }

/** As in transcripts/models.py. */
const ID = '[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}'
const CONVERSATION = new RegExp(`^#/c/(${ID})/?$`)
const LINK = new RegExp(`^#/c/(${ID})/(csl_[a-z2-7]{26}_[a-z2-7]{26})$`)
/** Leads to the words about a share link that is incomplete, without its rest. */
const BROKEN = '#/c/'
/** What an issuer adds to the address: RFC 6749, RFC 9207, and the session's state of some. */
const ANSWER = ['code', 'state', 'error', 'error_description', 'error_uri', 'iss', 'session_state']

interface Opened {
  /** The same address without secrets. */
  address: string
  route: Route
  /** The conversation's share link. */
  link: string | undefined
  /** The answer of a sign-in. */
  answer: URLSearchParams | undefined
}

/** Splits an address into what may be seen and what may not. */
export function readAddress(address: string): Opened {
  const url = new URL(address)
  const answer = takeAnswer(url)
  const link = LINK.exec(url.hash)
  const route = link === null ? readRoute(url.hash) : toConversation(link[1])
  if (link !== null) url.hash = addressOfConversation(link[1] ?? '')
  else if (route.kind === 'broken_link') url.hash = BROKEN
  return { address: url.href, route, link: link?.[2], answer }
}

/** Returns the fragment of a conversation's address. */
export function addressOfConversation(id: string): string {
  return `#/c/${id}`
}

/** Returns the address to give to guests. */
export function addressOfLink(origin: string, id: string, secret: string): string {
  return `${origin}/#/c/${id}/${secret}`
}

/**
 * Takes the secrets out of the page's address, and keeps a share link in the tab, so that a reload
 * works. Returns the answer of a sign-in, which is of no use a second time.
 */
export function takeSecrets(storage: TabStorage): URLSearchParams | undefined {
  const { address, route, link, answer } = readAddress(location.href)
  if (address !== location.href) history.replaceState(null, '', address)
  if (route.kind === 'conversation' && link !== undefined) storage.write(`link.${route.id}`, link)
  return answer
}

function readRoute(hash: string): Route {
  const found = CONVERSATION.exec(hash)
  if (found !== null) return toConversation(found[1])
  return hash.startsWith(BROKEN) || hash.includes('csl_')
    ? { kind: 'broken_link' }
    : { kind: 'home' }
}

function toConversation(id = ''): Route {
  return { kind: 'conversation', id }
}

function takeAnswer(url: URL): URLSearchParams | undefined {
  const { searchParams } = url
  if (!searchParams.has('state') || !(searchParams.has('code') || searchParams.has('error'))) {
    return undefined
  }
  const answer = new URLSearchParams()
  for (const name of ANSWER) {
    for (const value of searchParams.getAll(name)) answer.append(name, value)
    searchParams.delete(name)
  }
  return answer
}
