import { toSeconds } from '../audio/pcm.ts'

/** Audio that waits to be sent. Beyond its bound the oldest is dropped and counted as lost. */
export class AudioQueue {
  readonly #limit: number
  #frames: ArrayBuffer[] = []
  #bytes = 0
  #lost = 0

  /** @param limit in seconds */
  constructor(limit: number) {
    this.#limit = limit
  }

  get seconds(): number {
    return toSeconds(this.#bytes)
  }

  /** Seconds of audio that were dropped and will not be recognised. */
  get lost(): number {
    return this.#lost
  }

  push(frame: ArrayBuffer): void {
    this.#frames.push(frame)
    this.#bytes += frame.byteLength
    while (this.seconds > this.#limit) this.#lost += toSeconds(this.shift()?.byteLength ?? 0)
  }

  shift(): ArrayBuffer | undefined {
    const frame = this.#frames.shift()
    this.#bytes -= frame?.byteLength ?? 0
    return frame
  }

  /** Drops everything; `asLost` counts it as lost. */
  clear(asLost: boolean): void {
    if (asLost) this.#lost += this.seconds
    this.#frames = []
    this.#bytes = 0
  }
}
