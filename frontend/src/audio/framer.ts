import { FRAME_SAMPLES } from './pcm.ts'

/** Cuts a stream of samples into frames of 100 ms. */
export class Framer {
  readonly #frame = new Float32Array(FRAME_SAMPLES)
  #filled = 0

  /** Calls `emit` with every complete frame. The array is reused: `emit` has to copy it. */
  push(samples: Float32Array, emit: (frame: Float32Array) => void): void {
    let taken = 0
    while (taken < samples.length) {
      const part = samples.subarray(taken, taken + FRAME_SAMPLES - this.#filled)
      this.#frame.set(part, this.#filled)
      this.#filled += part.length
      taken += part.length
      if (this.#filled === FRAME_SAMPLES) {
        emit(this.#frame)
        this.#filled = 0
      }
    }
  }

  /** Emits the shorter frame that remains, if any. */
  flush(emit: (frame: Float32Array) => void): void {
    if (this.#filled > 0) emit(this.#frame.subarray(0, this.#filled))
    this.#filled = 0
  }
}
