import { expect, it } from 'vitest'

import { computeMeterFill, SilenceDetector } from './loudness.ts'

it('fills the meter by decibels', () => {
  expect(computeMeterFill(0)).toBe(0)
  expect(computeMeterFill(0.000_1)).toBe(0)
  expect(computeMeterFill(Math.sqrt(0.001))).toBeCloseTo(0.5)
  expect(computeMeterFill(1)).toBe(1)
  expect(computeMeterFill(2)).toBe(1)
})

it('reports silence after five seconds, and its end at the first sound', () => {
  const detector = new SilenceDetector()
  const silent = Array.from({ length: 50 }, () => detector.push(0))
  expect(silent.indexOf(true)).toBe(49)
  expect(detector.push(0.01)).toBe(false)
  expect(detector.push(0)).toBe(false)
})
