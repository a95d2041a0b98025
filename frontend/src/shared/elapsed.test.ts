import { beforeEach, expect, it } from 'vitest'

import { Elapsed } from './elapsed.ts'

let steady: number
let wall: number
let elapsed: Elapsed

beforeEach(() => {
  steady = 5_000
  wall = 1_000_000
  elapsed = new Elapsed({ steady: () => steady, wall: () => wall })
})

it('goes by the steady clock when somebody sets the other one', () => {
  steady += 2_000
  wall -= 3_600_000
  expect(elapsed.read()).toBe(2)
  steady += 1_000
  wall += 1_400
  expect(elapsed.read()).toBe(3)
})

it('counts the sleep of a machine whose steady clock stood still', () => {
  steady += 100
  wall += 60_000
  expect(elapsed.read()).toBe(60)
  steady += 1_000
  wall += 1_000
  expect(elapsed.read()).toBe(61)
})
