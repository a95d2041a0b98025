import { expect, it } from 'vitest'

import { Pace } from './pace.ts'

it('sends at four times real time, whatever has to be caught up', () => {
  const pace = new Pace()
  let sent = 0
  for (let now = 0; now < 60; now += 0.05) {
    while (pace.allows(now)) {
      pace.spend(0.1)
      sent += 0.1
    }
  }
  expect(sent / 60).toBeGreaterThan(3.9)
  expect(sent / 60).toBeLessThan(4.1)
})

it('never holds back audio that is as fast as speech', () => {
  const pace = new Pace()
  for (let now = 0; now < 60; now += 0.1) {
    expect(pace.allows(now)).toBe(true)
    pace.spend(0.1)
  }
})
