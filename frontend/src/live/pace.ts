/** How many seconds of audio may be sent in a second. */
const TIMES_REAL_TIME = 4
/** The most seconds of audio that may be sent at once. */
const AT_ONCE = 1

/** Limits how fast kept audio is sent, so that whoever catches up does not crowd out others. */
export class Pace {
  #allowed = AT_ONCE
  #at = 0

  /**
   * Returns whether audio may be sent now.
   *
   * @param now in seconds
   */
  allows(now: number): boolean {
    const more = TIMES_REAL_TIME * Math.max(0, now - this.#at)
    this.#allowed = Math.min(AT_ONCE, this.#allowed + more)
    this.#at = now
    return this.#allowed > 0
  }

  /** Counts audio that was sent, in seconds. */
  spend(seconds: number): void {
    this.#allowed -= seconds
  }
}
