/** The id of the conversation, and the page's address that contains it. */

import { readParameter, withParameter } from '../shared/address.ts'

/** As in transcripts/models.py. */
const VALID = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/

const ADJECTIVES = (
  'amber brave calm clear early gentle golden green kind light lively lucky mild noble open ' +
  'proud quick quiet rapid ready royal silver smooth snowy solar steady sunny swift tidy vivid ' +
  'warm wise'
).split(' ')
const NOUNS = (
  'anchor birch bridge brook canyon cedar cliff cloud coast comet dune falcon field forest ' +
  'garden harbour heron island lake lantern maple meadow moon orchard otter prairie reef river ' +
  'sparrow summit valley willow'
).split(' ')
/** Letters and digits, without those that are mistaken for each other. */
const ALPHABET = '23456789abcdefghjkmnpqrstuvwxyz'

/** Returns the conversation in an address; undefined where there is none. */
export function conversationIn(address: string): string | undefined {
  return readParameter(address, 'conversation')
}

export function isConversationId(id: string): boolean {
  return VALID.test(id)
}

/** Returns the address of a conversation; `listening` makes it a listener's link. */
export function addressOf(address: string, id: string, listening = false): string {
  const url = withParameter(address, 'conversation', id)
  return withParameter(url, 'listen', listening ? '' : undefined)
}

/** Whether an address is a listener's link. */
export function isForListening(address: string): boolean {
  return readParameter(address, 'listen') !== undefined
}

/**
 * Generates an id such as `quiet-harbour-7kq2-m9xd`: two words to recognise it by, and 39 random
 * bits against guessing.
 */
export function generateConversationId(): string {
  const tail = Array.from({ length: 8 }, () => pick(ALPHABET)).join('')
  return [pick(ADJECTIVES), pick(NOUNS), tail.slice(0, 4), tail.slice(4)].join('-')
}

function pick(choices: ArrayLike<string>): string {
  // The bias of the remainder is below one in a hundred million.
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1))
  return choices[random % choices.length] ?? ''
}
