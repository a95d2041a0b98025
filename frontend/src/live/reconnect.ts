import { retryDelay } from './backoff.ts'

/** Counts attempts and holds the timer until the next one. */
export class Reconnect {
  readonly #connect: () => void
  #timer: ReturnType<typeof setTimeout> | undefined
  #attempts = 0
  #ordered = false // the server said when to come back

  constructor(connect: () => void) {
    this.#connect = connect
  }

  get attempts(): number {
    return this.#attempts
  }

  get pending(): boolean {
    return this.#timer !== undefined
  }

  /** Connects again after a while; returns when that will be, as milliseconds since 1970. */
  later(retryAfter?: number): number {
    this.cancel()
    this.#attempts += 1
    this.#ordered = retryAfter !== undefined
    const delay = 1_000 * retryDelay(this.#attempts, retryAfter, Math.random())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#connect()
    }, delay)
    return Date.now() + delay
  }

  /** Connects at once if a reconnect is pending, unless the server asked for the wait. */
  now(): void {
    if (!this.pending || this.#ordered) return
    this.cancel()
    this.#connect()
  }

  cancel(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** To be called when a connection has proved good: the next delay is short again. */
  succeeded(): void {
    this.#attempts = 0
  }
}
