import { SAMPLE_RATE } from '../audio/pcm.ts'

/** The longest time without audio that belongs to a microphone that works, in seconds. */
const SHORTEST = 0.25
/** The longest pause that the protocol has, in seconds. */
const LONGEST = 86_400

/** Nothing was recorded for so many seconds before a sample. */
export interface PauseBefore {
  sample: number
  seconds: number
}

/** Finds the times in which nothing was recorded, as when a laptop slept. */
export class Pauses {
  #all: PauseBefore[] = []
  /** When the last frame came, by the page and by the audio thread, in seconds. */
  #last: { arrived: number; captured: number } | undefined

  /**
   * Notes a frame, and the pause before it.
   *
   * A busy page gets frames late, and the clock of the audio thread can be set; so a pause counts
   * as far as both show it.
   *
   * @param sample the frame's first
   * @param length of the frame, in samples
   * @param arrived when the page got it, by a steady clock; in seconds
   * @param captured when the audio thread completed it, by the wall clock; in seconds
   */
  note(sample: number, length: number, arrived: number, captured: number): void {
    const before = this.#last
    this.#last = { arrived, captured }
    if (before === undefined) return
    const step = Math.min(arrived - before.arrived, captured - before.captured)
    const seconds = step - length / SAMPLE_RATE
    if (seconds > SHORTEST) this.#all.push({ sample, seconds: Math.min(seconds, LONGEST) })
  }

  /** Returns the first pause before a sample from `sample` on. */
  nextFrom(sample: number): PauseBefore | undefined {
    return this.#all.find((pause) => pause.sample >= sample)
  }

  /** Returns the seconds of the pauses that follow a sample. */
  secondsAfter(sample: number): number {
    return this.#all.reduce((sum, pause) => sum + (pause.sample > sample ? pause.seconds : 0), 0)
  }

  /** Forgets the pauses before the samples that are not kept any more. */
  dropBefore(sample: number): void {
    if ((this.#all[0]?.sample ?? Infinity) < sample) {
      this.#all = this.#all.filter((pause) => pause.sample >= sample)
    }
  }
}
