import { expect, it } from 'vitest'

import { meterFill, SilenceDetector } from './loudness.ts'

it('fills the meter by decibels', () => {
  expect(meterFill(0)).toBe(0)
  expect(meterFill(0.000_1)).toBe(0)
  expect(meterFill(Math.sqrt(0.001))).toBeCloseTo(0.5)
  expect(meterFill(1)).toBe(1)
  expect(meterFill(2)).toBe(1)
})

it('calls a microphone silent after five seconds, and no longer at the first sound', () => {
  const detector = new SilenceDetector()
  const heard = Array.from({ length: 50 }, () => detector.hear(0))
  expect(heard.indexOf(true)).toBe(49)
  expect(detector.hear(0.01)).toBe(false)
  expect(detector.hear(0)).toBe(false)
})
