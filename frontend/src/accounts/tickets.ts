import type { IssuedTicket, NewTicket, Problem } from '../api.ts'
import { type Admission, type Entry, PROTOCOL } from '../live/admission.ts'
import type { Refusal } from './refusals.ts'
import { type Clock, type Lifetime, secondsLeft, startLifetime } from './lifetime.ts'

/** A ticket that ends sooner is not used any more, in seconds: a handshake takes time. */
const MARGIN = 10

export type Issued = { ticket: IssuedTicket } | { refusal: Refusal }
export type Verdict = 'valid' | 'spent' | 'unknown'

interface Calls {
  /** Asks the API for a ticket. */
  issue: (wanted: NewTicket) => Promise<Issued>
  /** Asks the service whether a ticket is authentic and its time is not over. */
  check: (ticket: string) => Promise<Verdict>
}

/**
 * The tickets of one kind of socket of one conversation.
 *
 * A reader's ticket opens sockets until it ends. A speaker's opens one. A ticket that did not come
 * so far is kept, so an outage of the service causes no calls of the API.
 */
export class Tickets implements Admission {
  readonly #wanted: NewTicket
  readonly #calls: Calls
  readonly #clock: Clock
  #held: { ticket: IssuedTicket; lifetime: Lifetime } | undefined
  #asking: Promise<Issued> | undefined
  #checking: Promise<void> | undefined

  constructor(wanted: NewTicket, calls: Calls, clock: Clock) {
    this.#wanted = wanted
    this.#calls = calls
    this.#clock = clock
  }

  /** Returns a ticket that can be used now. */
  async get(): Promise<Issued> {
    await this.#checking
    const held = this.#held
    if (held !== undefined && secondsLeft(held.lifetime, this.#clock) > MARGIN) {
      return { ticket: held.ticket }
    }
    this.#asking ??= this.#ask()
    return this.#asking
  }

  async enter(): Promise<Entry> {
    const issued = await this.get()
    if ('ticket' in issued) return { protocols: [PROTOCOL, `ticket.${issued.ticket.ticket}`] }
    const { title, advice, isTransient } = issued.refusal
    return { problem: { title, advice }, isFinal: !isTransient }
  }

  opened(): void {
    if (this.#wanted.action === 'speak') this.discard()
  }

  failed(): Promise<void> {
    const ticket = this.#held?.ticket.ticket
    if (ticket === undefined) return Promise.resolve()
    this.#checking ??= this.#calls
      .check(ticket)
      .then((verdict) => {
        if (verdict === 'spent' && this.#held?.ticket.ticket === ticket) this.discard()
      })
      .finally(() => {
        this.#checking = undefined
      })
    return this.#checking
  }

  discard(): void {
    this.#held = undefined
  }

  async #ask(): Promise<Issued> {
    try {
      const issued = await this.#calls.issue(this.#wanted)
      if ('ticket' in issued) {
        const lifetime = startLifetime(issued.ticket.secondsLeft, this.#clock)
        this.#held = { ticket: issued.ticket, lifetime }
      }
      return issued
    } finally {
      this.#asking = undefined
    }
  }
}

/** Asks the service about a ticket; browsers do not say why a socket did not open. */
export async function checkTicket(origin: string, ticket: string): Promise<Verdict> {
  try {
    const response = await fetch(new URL('/api/stt/ticket', origin), {
      headers: { Authorization: `Bearer ${ticket}` },
      signal: AbortSignal.timeout(5_000),
    })
    if (response.ok) return 'valid'
    if (response.status !== 401) return 'unknown'
    const { reason } = (await response.json()) as Partial<Problem>
    return reason === 'ticket_expired' || reason === 'ticket_invalid' ? 'spent' : 'unknown'
  } catch {
    return 'unknown'
  }
}
