import { expect, it } from 'vitest'

import { retryDelay } from './backoff.ts'

it.each([
  [1, 0.25, 0.5],
  [2, 0.5, 1],
  [5, 4, 8],
  [6, 7.5, 15],
  [1_000, 7.5, 15],
])('waits before attempt %i between %d and %d seconds', (attempt, least, most) => {
  expect(retryDelay(attempt, undefined, 0)).toBe(least)
  expect(retryDelay(attempt, undefined, 1)).toBe(most)
})

it('never comes before the server said', () => {
  expect(retryDelay(1, 30, 0)).toBe(30)
  expect(retryDelay(9, 30, 1)).toBe(33)
})
