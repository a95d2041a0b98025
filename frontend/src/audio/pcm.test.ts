import { describe, expect, it } from 'vitest'

import { Framer } from './framer.ts'
import { encode, FRAME_SAMPLES, rms, toSeconds } from './pcm.ts'

describe('encode', () => {
  it('writes little-endian 16 bit and clips louder samples', () => {
    const bytes = new Uint8Array(encode(Float32Array.of(0, 0.5, -1, 1, -7, 7)))
    expect([...bytes]).toEqual([0, 0, 0, 0x40, 0, 0x80, 0xff, 0x7f, 0, 0x80, 0xff, 0x7f])
  })
})

describe('rms', () => {
  it('is 0 for silence and for no samples, and 1 for a full-scale square', () => {
    expect(rms(new Float32Array(10))).toBe(0)
    expect(rms(new Float32Array(0))).toBe(0)
    expect(rms(Float32Array.of(1, -1, 1))).toBe(1)
  })
})

describe('Framer', () => {
  it('emits whole frames first and the rest at the flush', () => {
    const input = Float32Array.from({ length: 2 * FRAME_SAMPLES + 7 }, (_, i) => i)
    const frames: number[][] = []
    const framer = new Framer()
    const keep = (frame: Float32Array) => frames.push([...frame])
    framer.push(input.subarray(0, 100), keep)
    framer.push(input.subarray(100), keep)
    framer.flush(keep)
    framer.flush(keep)
    expect(frames.map((frame) => frame.length)).toEqual([FRAME_SAMPLES, FRAME_SAMPLES, 7])
    expect(frames.flat()).toEqual([...input])
  })
})

it('converts bytes to seconds', () => {
  expect(toSeconds(32_000)).toBe(1)
})
