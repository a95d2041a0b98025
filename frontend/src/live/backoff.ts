/** The delay before a client connects again. */

const FIRST_SPAN = 0.5
const LONGEST_SPAN = 15

/**
 * Computes the seconds to wait before attempt number `attempt` (from 1). The span doubles, and the
 * delay is in its upper half at random, so that viewers of a restarted server return one by one.
 *
 * @param retryAfter the server's minimum, in seconds; up to a tenth is added to it
 * @param random from 0 to 1
 */
export function computeDelay(
  attempt: number,
  retryAfter: number | undefined,
  random: number,
): number {
  if (retryAfter !== undefined && retryAfter > 0) return retryAfter * (1 + random / 10)
  const span = Math.min(LONGEST_SPAN, FIRST_SPAN * 2 ** (attempt - 1))
  return span * (0.5 + random / 2)
}
