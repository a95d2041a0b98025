import { expect, it } from 'vitest'

import { TestClock } from './clock.test-support.ts'
import { secondsLeft, startLifetime } from './lifetime.ts'

it('counts down', () => {
  const clock = new TestClock()
  const lifetime = startLifetime(600, clock)
  clock.pass(100)
  expect(secondsLeft(lifetime, clock)).toBe(500)
  clock.pass(600)
  expect(secondsLeft(lifetime, clock)).toBe(-100)
})

it('does not grow when the wall clock is set back', () => {
  const clock = new TestClock()
  const lifetime = startLifetime(600, clock)
  clock.pass(100)
  clock.wallTime -= 3_600_000
  expect(secondsLeft(lifetime, clock)).toBe(500)
})

it('counts the time in which the steady clock slept', () => {
  const clock = new TestClock()
  const lifetime = startLifetime(600, clock)
  clock.wallTime += 3_600_000
  expect(secondsLeft(lifetime, clock)).toBe(-3_000)
})
