import { describe, expect, it } from 'vitest'

import { Resampler } from './resample.ts'

const TARGET = 16_000
const RATES = [8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]

function sine(frequency: number, rate: number, seconds: number): Float32Array {
  return Float32Array.from({ length: Math.round(rate * seconds) }, (_, i) =>
    Math.sin((2 * Math.PI * frequency * i) / rate),
  )
}

function resample(input: Float32Array, from: number, chunks: Iterable<number>): Float32Array {
  const resampler = new Resampler(from, TARGET)
  const out: number[] = []
  let start = 0
  for (const size of chunks) {
    out.push(...resampler.push(input.subarray(start, start + size)))
    start += size
  }
  out.push(...resampler.push(input.subarray(start)), ...resampler.flush())
  return Float32Array.from(out)
}

/** Measures the loudness in dB relative to a full-scale sine, without the ends. */
function decibels(samples: Float32Array): number {
  const middle = samples.subarray(samples.length / 4, (samples.length * 3) / 4)
  const power = middle.reduce((sum, sample) => sum + sample * sample, 0) / middle.length
  return 10 * Math.log10(2 * power + 1e-30)
}

describe.each(RATES)('from %i Hz', (rate) => {
  const highest = (Math.min(rate, TARGET) / 2) * (7 / 8)

  it.each([100, 440, 1_000, 3_000, highest])('passes %d Hz', (frequency) => {
    const output = resample(sine(frequency, rate, 0.5), rate, [])
    expect(Math.abs(decibels(output))).toBeLessThan(0.1)
  })

  it('does not shift samples in time', () => {
    const output = resample(sine(440, rate, 0.5), rate, [])
    const expected = sine(440, TARGET, 0.5)
    for (let i = 1_000; i < output.length - 1_000; i++) {
      expect(Math.abs((output[i] ?? 0) - (expected[i] ?? 0))).toBeLessThan(0.01)
    }
  })

  it('returns the same samples for any chunks', () => {
    const input = sine(440, rate, 0.3)
    const whole = resample(input, rate, [])
    expect(resample(input, rate, Array<number>(30).fill(128))).toEqual(whole)
    expect(resample(input, rate, [1, 0, 2, 777, 3, 1])).toEqual(whole)
  })

  it.each([0, 1, 2, 127, 128, 4_799, 4_801])(
    'returns an exact number for %i samples',
    (samples) => {
      const output = resample(new Float32Array(samples), rate, [5, 128])
      expect(output.length).toBe(Math.ceil((samples * TARGET) / rate))
    },
  )

  it('preserves a constant', () => {
    const output = resample(new Float32Array(rate / 2).fill(0.5), rate, [])
    expect(output[4_000]).toBeCloseTo(0.5, 5)
  })
})

it.each([
  [44_100, 8_000],
  [44_100, 12_345],
  [44_100, 20_000],
  [48_000, 8_000],
  [48_000, 9_000],
  [48_000, 15_900],
  [48_000, 16_100],
  [96_000, 40_000],
])('from %i Hz, suppresses %i Hz by more than 60 dB', (rate, frequency) => {
  // At exactly 8 kHz the phase decides; a quarter turn shows the amplitude.
  const output = resample(sine(frequency + 1, rate, 0.5), rate, [])
  expect(decibels(output)).toBeLessThan(-60)
})

it('does not drift over a minute of 128-sample quanta', () => {
  const resampler = new Resampler(44_100, TARGET)
  const quantum = new Float32Array(128)
  let count = 0
  const quanta = Math.round((44_100 * 60) / 128)
  for (let i = 0; i < quanta; i++) count += resampler.push(quantum).length
  count += resampler.flush().length
  expect(count).toBe(Math.ceil((quanta * 128 * TARGET) / 44_100))
})

it.each([0, -1, 44_100.5, Number.NaN, Infinity])('rejects %d as a rate', (rate) => {
  expect(() => new Resampler(rate, TARGET)).toThrow(RangeError)
})
