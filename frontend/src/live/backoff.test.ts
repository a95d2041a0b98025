import { expect, it } from 'vitest'

import { computeDelay } from './backoff.ts'

it.each([
  [1, 0.25, 0.5],
  [2, 0.5, 1],
  [5, 4, 8],
  [6, 7.5, 15],
  [1_000, 7.5, 15],
])('waits before attempt %i between %d and %d seconds', (attempt, least, most) => {
  expect(computeDelay(attempt, undefined, 0)).toBe(least)
  expect(computeDelay(attempt, undefined, 1)).toBe(most)
})

it('never comes earlier than the server allows', () => {
  expect(computeDelay(1, 30, 0)).toBe(30)
  expect(computeDelay(9, 30, 1)).toBe(33)
})
