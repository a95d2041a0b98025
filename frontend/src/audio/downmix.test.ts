import { expect, it } from 'vitest'

import { Downmix } from './downmix.ts'
import { rms } from './pcm.ts'

const RATE = 48_000
const QUANTUM = 128

function voice(gain = 0.5): Float32Array {
  return Float32Array.from(
    { length: RATE },
    (_, i) => gain * Math.sin((2 * Math.PI * 300 * i) / RATE),
  )
}

/** Mixes whole channels quantum by quantum, as an AudioWorklet gets them. */
function mix(...channels: Float32Array[]): Float32Array {
  const downmix = new Downmix(RATE)
  const output = new Float32Array(RATE)
  for (let at = 0; at < RATE; at += QUANTUM) {
    output.set(downmix.push(channels.map((each) => each.subarray(at, at + QUANTUM))), at)
  }
  return output
}

it('averages the channels', () => {
  const downmix = new Downmix(RATE)
  expect(downmix.push([Float32Array.of(1, 0), Float32Array.of(0, -1)])).toEqual(
    Float32Array.of(0.5, -0.5),
  )
})

it('returns one channel where all of them cancel each other', () => {
  const left = voice()
  const right = left.map((sample) => -sample)
  expect(rms(mix(left, right))).toBeCloseTo(rms(left), 2)
})

it.each([2, 4, 8])('keeps a voice on one channel of %d', (count) => {
  const silence = new Float32Array(RATE)
  for (let speaking = 0; speaking < count; speaking++) {
    const channels = Array.from({ length: count }, (_, n) => (n === speaking ? voice() : silence))
    expect(rms(mix(...channels))).toBeGreaterThan(rms(voice()) / 4.2)
  }
})

it('accepts a changed number of channels', () => {
  const downmix = new Downmix(RATE)
  const one = Float32Array.of(0.5, 0.5)
  expect(downmix.push([one, one])).toEqual(one)
  expect(downmix.push([one])).toBe(one)
  expect(downmix.push([one, one, one])).toEqual(one)
})

it('accepts a quantum without channels', () => {
  expect(new Downmix(RATE).push([])).toHaveLength(0)
})
