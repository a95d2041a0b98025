import type { Problem } from '../shared/problem.ts'
import type { Closed, ErrorCode, Error as ErrorMessage } from '../protocol.ts'

/** Codes after which the page reconnects by itself. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'access_unavailable',
  'at_capacity',
  'draining',
  'engine_failed',
  'internal',
  'ledger_unavailable',
  'moved',
  'rate_limited',
  'slow_consumer',
  'ticket_used',
  'too_many_viewers',
])

export function isTransient(error: ErrorMessage): boolean {
  return error.retryable && (TRANSIENT.has(error.code) || !isKnown(error.code))
}

/** Whether this page has words for a code; a newer server may send others. */
function isKnown(code: ErrorCode): boolean {
  return Object.hasOwn(TITLES, code)
}

const TITLES: Record<ErrorCode, string> = {
  invalid_parameter: 'The server did not accept the name or the conversation.',
  ticket_used: 'This permission is over.',
  access_revoked: 'You have no access to this conversation any more.',
  unsupported_language: 'The server does not know this language.',
  invalid_option: 'The server does not recognise speech in the way that was asked for.',
  invalid_audio: 'The server could not read the sound.',
  frame_too_large: 'The sound was sent in pieces too large for the server.',
  invalid_message: 'The server did not understand this page.',
  unexpected_message: 'The server did not understand this page.',
  idle_timeout: 'No sound arrived for a while, so the server ended the captions.',
  slow_consumer: 'This connection is too slow for the captions.',
  at_capacity: 'Every captioning slot is in use.',
  too_many_viewers: 'Too many people are watching.',
  rate_limited: 'There were too many connections from your network.',
  access_unavailable: 'The server cannot check who has access at the moment.',
  draining: 'The server is being restarted.',
  moved: 'The captions go on over another connection.',
  resume_refused: 'The server does not know these captions any more.',
  ledger_unavailable: 'The server cannot keep captions safe at the moment.',
  engine_failed: 'The speech recogniser failed.',
  engine_refused: 'The speech recogniser does not take this stream.',
  internal: 'The server has a fault.',
}

const ADVICE: Partial<Record<ErrorCode, string>> = {
  invalid_audio: 'Reload the page to get its newest version.',
  frame_too_large: 'Reload the page to get its newest version.',
  invalid_message: 'Reload the page to get its newest version.',
  unexpected_message: 'Reload the page to get its newest version.',
  idle_timeout: 'Check the microphone, then press Start again.',
  access_revoked: 'Ask whoever shared it with you.',
  access_unavailable: 'The page tries again by itself.',
  ticket_used: 'The page gets a new one by itself.',
  engine_refused: 'Trying again will not help. Ask whoever runs this server.',
  at_capacity: 'Captions start as soon as one is free.',
  too_many_viewers: 'The page tries again by itself, until there is a place.',
  rate_limited: 'The page tries again by itself.',
  moved: 'The page connects again by itself.',
  resume_refused: 'Press Start again.',
  ledger_unavailable: 'The page tries again by itself.',
  draining: 'Captions continue in a moment.',
  slow_consumer: 'The page connects again; what was missed is filled in.',
}

/** Returns the words for an error of the server. */
export function describeError(error: ErrorMessage): Problem {
  return {
    title: isKnown(error.code) ? TITLES[error.code] : 'The server refused.',
    // The server's own message about a wrong parameter is more exact.
    advice: ADVICE[error.code] ?? error.message,
  }
}

export const CONNECTION_LOST: Problem = {
  title: 'The connection to the server was lost.',
  advice: 'The page connects again by itself.',
}

/** The same for a speaker whose words are kept meanwhile. */
export const WORDS_KEPT: Problem = {
  title: CONNECTION_LOST.title,
  advice: 'Keep speaking: your words are kept, and sent as soon as it is back.',
}

/** The microphone gave nothing for so long that the server closed the connection. */
export const NO_SOUND: Problem = {
  title: 'The microphone gives no sound.',
  advice: 'Captions go on as soon as it does.',
}

export const SERVER_UNREACHABLE: Problem = {
  title: 'The server cannot be reached.',
  advice: 'Check your network, then press Start again.',
}

export const STOP_UNCONFIRMED: Problem = {
  title: 'The server did not confirm the end of the captions.',
  advice: 'The last words may be missing.',
}

/** Returns the words for a stream that the server ended; undefined where none are needed. */
export function describeClose(reason: Closed['reason'], seconds: number): Problem | undefined {
  if (reason !== 'max_duration') return undefined
  return {
    title: `This server ends captions after ${Math.round(seconds)} seconds.`,
    advice: 'Press Start to continue.',
  }
}
