/** How long something is still valid, whatever happens to the browser's clock. */
export interface Lifetime {
  /** Seconds of validity at the start. */
  seconds: number
  /** The start by the wall clock and by the steady clock, in milliseconds. */
  wall: number
  steady: number
}

export interface Clock {
  /** Milliseconds since 1970; people and networks set this clock. */
  wall: () => number
  /** Milliseconds since the page was opened; some browsers stop this clock while they sleep. */
  steady: () => number
}

export const CLOCK: Clock = { wall: () => Date.now(), steady: () => performance.now() }

export function startLifetime(seconds: number, clock: Clock): Lifetime {
  return { seconds, wall: clock.wall(), steady: clock.steady() }
}

/**
 * Returns the seconds that are left. The clock that has gone further counts: a wall clock that was
 * set back and a steady clock that slept can only make this too early, never too late.
 */
export function secondsLeft(lifetime: Lifetime, clock: Clock): number {
  const passed = Math.max(clock.wall() - lifetime.wall, clock.steady() - lifetime.steady, 0)
  return lifetime.seconds - passed / 1_000
}
