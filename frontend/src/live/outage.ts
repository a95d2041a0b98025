import type { Problem } from '../shared/problem.ts'

/** An interruption that is over sooner is not reported, in milliseconds. */
const NOTABLE = 1_000

export interface Interruption {
  problem: Problem
  /** When the next attempt begins, in milliseconds since 1970; undefined during an attempt. */
  retryAt: number | undefined
}

/** Reports an interruption if it lasts: a connection may be replaced twice a minute. */
export class Outage {
  readonly #report: (interruption: Interruption) => void
  #current: Interruption | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #isReported = false

  constructor(report: (interruption: Interruption) => void) {
    this.#report = report
  }

  /** Takes the newest state of an interruption; `lasts` reports it at once. */
  update(interruption: Interruption, lasts: boolean): void {
    this.#current = interruption
    if (this.#isReported || lasts) this.#emit()
    else {
      this.#timer ??= setTimeout(() => {
        this.#emit()
      }, NOTABLE)
    }
  }

  /** Notes that an attempt has begun. */
  noteAttempt(): void {
    if (this.#current === undefined) return
    this.#current = { ...this.#current, retryAt: undefined }
    if (this.#isReported) this.#emit()
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#current = undefined
    this.#isReported = false
  }

  #emit(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isReported = true
    if (this.#current !== undefined) this.#report(this.#current)
  }
}
