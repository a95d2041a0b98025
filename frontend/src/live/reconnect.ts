import { computeDelay } from './backoff.ts'

/** Counts the attempts to connect and holds the timer until the next one. */
export class Reconnect {
  readonly #connect: () => void
  #timer: ReturnType<typeof setTimeout> | undefined
  #attempts = 0
  #isDelayedByServer = false // the server set the delay with `retryAfter`

  constructor(connect: () => void) {
    this.#connect = connect
  }

  get attempts(): number {
    return this.#attempts
  }

  /** Schedules the next attempt and returns its time, in milliseconds since 1970. */
  schedule(retryAfter?: number): number {
    this.cancel()
    this.#attempts += 1
    this.#isDelayedByServer = retryAfter !== undefined
    const delay = 1_000 * computeDelay(this.#attempts, retryAfter, Math.random())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#connect()
    }, delay)
    return Date.now() + delay
  }

  /** Connects at once if an attempt is pending, unless the server set the delay. */
  hasten(): void {
    if (this.#timer === undefined || this.#isDelayedByServer) return
    this.cancel()
    this.#connect()
  }

  cancel(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Makes the next delay short again, after a connection that worked. */
  reset(): void {
    this.#attempts = 0
  }
}
