import { SAMPLE_RATE } from '../audio/pcm.ts'

const BYTES_PER_SAMPLE = 2
/** Frames that may be gone before the list is shortened. */
const GONE_AT_ONCE = 256

interface Frame {
  /** The index of its first sample. */
  start: number
  pcm: ArrayBuffer
}

/**
 * The newest audio, by the index of its samples: mono s16le, counted from the first one that was
 * pushed. What nobody needs any more is dropped from the front. Beyond the limit the oldest is
 * dropped as well, and the next `first` shows it.
 */
export class KeptAudio {
  /** The most samples that are kept. */
  #limit: number
  #frames: Frame[] = []
  /** How many of `#frames`, from the first, are not kept any more. */
  #gone = 0
  #first = 0
  #end = 0

  /** @param limit in seconds */
  constructor(limit: number) {
    this.#limit = Math.round(limit * SAMPLE_RATE)
  }

  /** The index of the oldest sample that is kept; `end` where there is none. */
  get first(): number {
    return this.#first
  }

  /** The index of the sample that comes next. */
  get end(): number {
    return this.#end
  }

  /** Raises the limit, in seconds; a lower one would drop what somebody relies on. */
  raiseLimit(seconds: number): void {
    this.#limit = Math.max(this.#limit, Math.round(seconds * SAMPLE_RATE))
  }

  /** Adds a frame at the end. Whoever pushes it leaves it unchanged. */
  push(pcm: ArrayBuffer): void {
    const samples = pcm.byteLength / BYTES_PER_SAMPLE
    if (samples === 0) return
    this.#frames.push({ start: this.#end, pcm })
    this.#end += samples
    this.dropBefore(this.#end - this.#limit)
  }

  /** Drops the samples before an index. */
  dropBefore(index: number): void {
    this.#first = Math.min(Math.max(this.#first, index), this.#end)
    for (;;) {
      const frame = this.#frames[this.#gone]
      if (frame === undefined || endOf(frame) > this.#first) break
      this.#gone += 1
    }
    if (this.#gone >= GONE_AT_ONCE || this.#gone === this.#frames.length) {
      this.#frames = this.#frames.slice(this.#gone)
      this.#gone = 0
    }
  }

  /**
   * Returns the samples from an index on: at most `most`, and those of one frame alone. Returns
   * undefined where the samples are dropped or have not come.
   */
  read(index: number, most: number): ArrayBuffer | undefined {
    if (index < this.#first || index >= this.#end || most <= 0) return undefined
    const frame = this.#frames[this.#find(index)]
    if (frame === undefined) return undefined
    const from = index - frame.start
    const to = Math.min(from + most, frame.pcm.byteLength / BYTES_PER_SAMPLE)
    return frame.pcm.slice(from * BYTES_PER_SAMPLE, to * BYTES_PER_SAMPLE)
  }

  /** Finds the frame with a sample that is kept, by halving. */
  #find(index: number): number {
    let low = this.#gone
    let high = this.#frames.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.#frames[middle]?.start ?? Infinity) <= index) low = middle
      else high = middle - 1
    }
    return low
  }
}

function endOf({ start, pcm }: Frame): number {
  return start + pcm.byteLength / BYTES_PER_SAMPLE
}
