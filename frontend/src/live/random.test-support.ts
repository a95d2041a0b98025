/** Returns a source of numbers from 0 to 1 that is the same for the same seed. For tests only. */
export function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    // The linear congruential generator of "Numerical Recipes".
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
