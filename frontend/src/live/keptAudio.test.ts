import { expect, it } from 'vitest'

import { createRandom } from './random.test-support.ts'
import { KeptAudio } from './keptAudio.ts'

/** Samples whose values are their indices. */
const samples = (from: number, count: number): ArrayBuffer =>
  Int16Array.from({ length: count }, (_, i) => (from + i) % 30_000).buffer

const valuesOf = (pcm: ArrayBuffer | undefined) =>
  pcm === undefined ? undefined : [...new Int16Array(pcm)]

it('keeps everything from the sample that is still needed', () => {
  const kept = new KeptAudio(600)
  kept.push(samples(0, 4))
  kept.push(samples(4, 4))
  kept.dropBefore(2)
  expect([kept.first, kept.end]).toEqual([2, 8])
  expect(valuesOf(kept.read(1, 9))).toBeUndefined()
  expect(valuesOf(kept.read(2, 9))).toEqual([2, 3])
  expect(valuesOf(kept.read(4, 3))).toEqual([4, 5, 6])
  expect(valuesOf(kept.read(8, 1))).toBeUndefined()
})

it('drops the oldest beyond its limit', () => {
  const kept = new KeptAudio(1)
  kept.push(samples(0, 10_000))
  kept.push(samples(10_000, 10_000))
  expect([kept.first, kept.end]).toEqual([4_000, 20_000])
  expect(valuesOf(kept.read(4_000, 2))).toEqual([4_000, 4_001])
})

it('agrees with a plain list of samples, whatever is pushed, dropped and read', () => {
  const random = createRandom(7)
  const below = (most: number) => Math.floor(random() * most)
  for (let run = 0; run < 10; run++) {
    const limit = 800 + below(1_600)
    const kept = new KeptAudio(limit / 16_000)
    const model: number[] = []
    let first = 0
    for (let step = 0; step < 400; step++) {
      const choice = random()
      if (choice < 0.5) {
        const count = below(300)
        kept.push(samples(model.length, count))
        for (let i = 0; i < count; i++) model.push(model.length % 30_000)
        first = Math.max(first, model.length - limit)
      } else if (choice < 0.7) {
        const before = below(model.length + 200)
        kept.dropBefore(before)
        first = Math.min(Math.max(first, before), model.length)
      } else {
        const at = Math.max(0, first - 10 + below(model.length - first + 20))
        const most = 1 + below(200)
        const read = valuesOf(kept.read(at, most))
        if (at < first || at >= model.length) expect(read).toBeUndefined()
        else {
          expect(read?.length).toBeGreaterThan(0)
          expect(read?.length).toBeLessThanOrEqual(most)
          expect(read).toEqual(model.slice(at, at + (read?.length ?? 0)))
        }
      }
      expect(kept.end).toBe(model.length)
      expect(kept.first).toBe(first)
    }
  }
})
