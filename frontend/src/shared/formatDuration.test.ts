import { expect, it } from 'vitest'

import { formatDuration } from './formatDuration.ts'

it.each([
  [-0.2, '0 s'],
  [4.4, '4 s'],
  [119.4, '119 s'],
  [120, '2 min'],
  [3_599, '59 min'],
])('formats %d s as %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text)
})
