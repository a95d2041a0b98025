/** Two clocks that a test moves. For unit tests only. */

import type { Clock } from './lifetime.ts'

export class TestClock implements Clock {
  wallTime = 1_800_000_000_000
  steadyTime = 0

  wall = () => this.wallTime
  steady = () => this.steadyTime

  /** Lets time pass on both. */
  pass(seconds: number): void {
    this.wallTime += 1_000 * seconds
    this.steadyTime += 1_000 * seconds
  }
}
