/** Beyond this difference the machine slept while its steady clock stood still, in seconds. */
const SLEPT = 1

interface Clocks {
  /** Never goes back, but stands still in some browsers while the machine sleeps; in ms. */
  steady: () => number
  /** Goes on while the machine sleeps, but may be set; in ms. */
  wall: () => number
}

const BROWSER: Clocks = { steady: () => performance.now(), wall: () => Date.now() }

/**
 * Counts the time since it was made, with the time in which the machine slept.
 *
 * It goes by the steady clock, and by the wall clock where that has gone much further.
 */
export class Elapsed {
  readonly #clocks: Clocks
  #steady: number
  #wall: number
  #seconds = 0

  constructor(clocks: Clocks = BROWSER) {
    this.#clocks = clocks
    this.#steady = clocks.steady()
    this.#wall = clocks.wall()
  }

  /** Returns the seconds until now. */
  read(): number {
    const steady = this.#clocks.steady()
    const wall = this.#clocks.wall()
    const step = Math.max(0, (steady - this.#steady) / 1_000)
    const stepOfWall = (wall - this.#wall) / 1_000
    this.#seconds += stepOfWall - step > SLEPT ? stepOfWall : step
    this.#steady = steady
    this.#wall = wall
    return this.#seconds
  }
}
