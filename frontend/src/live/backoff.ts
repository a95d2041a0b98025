/** When to come back. */

const FIRST = 0.5
const LONGEST = 15

/**
 * Seconds to wait before attempt number `attempt` (from 1): doubling, and scattered over the
 * upper half of the span, so that the listeners of a restarted server do not all return at once.
 *
 * @param retryAfter what the server asked for, in seconds: never earlier, and at most a tenth later
 * @param random from 0 to 1
 */
export function retryDelay(
  attempt: number,
  retryAfter: number | undefined,
  random: number,
): number {
  if (retryAfter !== undefined && retryAfter > 0) return retryAfter * (1 + random / 10)
  const span = Math.min(LONGEST, FIRST * 2 ** (attempt - 1))
  return span * (0.5 + random / 2)
}
