/** Conversion of samples to s16le, and their loudness. */

/** The sample rate of the audio that is sent, in Hz. */
export const SAMPLE_RATE = 16_000
/** Samples in one binary frame, 100 ms. */
export const FRAME_SAMPLES = SAMPLE_RATE / 10
const BYTES_PER_SAMPLE = 2

/** Converts a number of bytes of s16le at `SAMPLE_RATE` to seconds. */
export function toSeconds(bytes: number): number {
  return bytes / BYTES_PER_SAMPLE / SAMPLE_RATE
}

/** Encodes samples from -1 to 1 as s16le; louder ones are clipped. */
export function encode(samples: Float32Array): ArrayBuffer {
  const buffer = new ArrayBuffer(samples.length * BYTES_PER_SAMPLE)
  const view = new DataView(buffer)
  samples.forEach((sample, i) => {
    const value = Math.round(sample * 32_768)
    view.setInt16(i * BYTES_PER_SAMPLE, Math.max(-32_768, Math.min(32_767, value)), true)
  })
  return buffer
}

/** Computes the root mean square: 0 for silence, 0.707 for a full-scale sine. */
export function rms(samples: Float32Array): number {
  if (samples.length === 0) return 0
  let sum = 0
  for (const sample of samples) sum += sample * sample
  return Math.sqrt(sum / samples.length)
}
