import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { type Interruption, Outage } from './outage.ts'
import { CONNECTION_LOST } from './serverProblems.ts'

const LOST = { problem: CONNECTION_LOST, retryAt: 500 }

let reports: Interruption[]
let outage: Outage

beforeEach(() => {
  vi.useFakeTimers()
  reports = []
  outage = new Outage((interruption) => reports.push(interruption))
})
afterEach(() => {
  vi.useRealTimers()
})

it('does not report a connection that is replaced at once', () => {
  outage.update(LOST, false)
  vi.advanceTimersByTime(900)
  outage.end()
  vi.advanceTimersByTime(10_000)
  expect(reports).toEqual([])
})

it('reports what lasts, and then every change of it', () => {
  outage.update(LOST, false)
  outage.noteAttempt()
  vi.advanceTimersByTime(1_000)
  outage.update({ ...LOST, retryAt: 9_000 }, false)
  outage.noteAttempt()
  expect(reports.map(({ retryAt }) => retryAt)).toEqual([undefined, 9_000, undefined])
})

it('reports at once what is known to last', () => {
  outage.update(LOST, true)
  expect(reports).toEqual([LOST])
})
