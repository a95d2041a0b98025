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

  /** Attempts since the last connection that worked. */
  get attempts(): number {
    return this.#attempts
  }

  /** Whether an attempt is scheduled. */
  get isPending(): boolean {
    return this.#timer !== undefined
  }

  /** Schedules the next attempt and returns its time, in milliseconds since 1970. */
  schedule(retryAfter?: number): number {
    const delay = computeDelay(this.#attempts + 1, retryAfter, Math.random())
    return this.#scheduleIn(delay, retryAfter !== undefined)
  }

  /**
   * Schedules the next attempt at a random moment of so many seconds, so that those who lost their
   * connections together do not return together. Returns its time, in milliseconds since 1970.
   */
  scheduleWithin(seconds: number): number {
    return this.#scheduleIn(seconds * Math.random(), false)
  }

  #scheduleIn(seconds: number, byServer: boolean): number {
    this.cancel()
    this.#attempts += 1
    this.#isDelayedByServer = byServer
    const delay = 1_000 * seconds
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
