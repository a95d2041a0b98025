import { beforeEach, expect, it } from 'vitest'

import { Pauses } from './pauses.ts'

const FRAME = 1_600

let pauses: Pauses
beforeEach(() => {
  pauses = new Pauses()
})

/** Notes frames of 100 ms with the times at which they arrived and were captured. */
function note(...times: [arrived: number, captured: number][]): void {
  times.forEach(([arrived, captured], n) => {
    pauses.note(n * FRAME, FRAME, arrived, captured)
  })
}

it('finds the time in which a laptop slept', () => {
  note([1, 1], [1.1, 1.1], [61.2, 61.2], [61.3, 61.3])
  expect(pauses.nextFrom(0)).toEqual({
    sample: 2 * FRAME,
    seconds: expect.closeTo(60) as number,
  })
  expect(pauses.nextFrom(2 * FRAME)).toBeDefined()
  expect(pauses.nextFrom(2 * FRAME + 1)).toBeUndefined()
  expect(pauses.secondsAfter(FRAME)).toBeCloseTo(60)
  expect(pauses.secondsAfter(2 * FRAME)).toBe(0)
})

it('takes neither a busy page nor a clock that was set for a pause', () => {
  note([1, 1], [3, 1.1], [3, 1.2], [3.1, 1.3])
  note([4, 1.4], [4.1, 3_600])
  expect(pauses.nextFrom(0)).toBeUndefined()
})

it('allows for the jitter of a microphone', () => {
  note([1, 1], [1.3, 1.3], [1.3, 1.3], [1.6, 1.6])
  expect(pauses.nextFrom(0)).toBeUndefined()
})

it('forgets what nobody can ask for any more', () => {
  note([1, 1], [11, 11], [21, 21])
  pauses.dropBefore(FRAME + 1)
  expect(pauses.nextFrom(0)?.sample).toBe(2 * FRAME)
})
