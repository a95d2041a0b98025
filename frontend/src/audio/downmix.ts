/**
 * Mixes several channels to one without losing a voice on any of them, like `speech/downmix.py`.
 *
 * The output is the mean of the channels. Where they cancel each other, as two of opposite phase
 * do, the loudest channel replaces the mean; where one of many has sound, the mean is amplified.
 */

/** The time constant of the running mean of a channel's power, in seconds. */
const MEMORY = 0.3
/** The smallest amplitude of the mean, as a share of the loudest channel's. */
const WEAKEST = 0.25
/** Channels cancel below this ratio of their mean's amplitude to that of independent sounds. */
const CANCELLED = 0.25
/** Above this ratio they are mixed again. */
const RECOVERED = 0.5
/** Another channel replaces the chosen one when its power is so many times larger. */
const LOUDER = 4

export class Downmix {
  readonly #sampleRate: number
  #powers: number[] = []
  #mixedPower = 0
  /** The channel that replaces the mean; undefined for the mean. */
  #chosen: number | undefined
  #gain = 1

  /** @param sampleRate of input and output, in Hz */
  constructor(sampleRate: number) {
    this.#sampleRate = sampleRate
  }

  /** Mixes the same stretch of every channel. A single channel is returned as it is. */
  push(channels: readonly Float32Array[]): Float32Array {
    const [first] = channels
    if (first === undefined) return new Float32Array(0)
    if (channels.length === 1) return first
    if (channels.length !== this.#powers.length) this.#restart(channels.length)
    const mean = average(first, channels)
    const before = this.#select(channels, mean)
    this.#measure(channels, mean)
    const after = this.#select(channels, mean)
    return before.samples === after.samples && before.gain === after.gain
      ? scale(after.samples, after.gain)
      : crossfade(before, after)
  }

  #restart(count: number): void {
    this.#powers = new Array<number>(count).fill(0)
    this.#mixedPower = 0
    this.#chosen = undefined
    this.#gain = 1
  }

  #measure(channels: readonly Float32Array[], mean: Float32Array): void {
    const powers = channels.map(measurePower)
    const alone = this.#chosen === undefined ? Infinity : (powers[this.#chosen] ?? 0)
    const isElsewhere = Math.max(...powers) > LOUDER * alone
    const decay = isElsewhere ? 0 : Math.exp(-mean.length / this.#sampleRate / MEMORY)
    this.#powers = powers.map((each, n) => (this.#powers[n] ?? 0) * decay + each)
    this.#mixedPower = this.#mixedPower * decay + measurePower(mean)
    this.#chosen = this.#choose()
    const least = WEAKEST ** 2 * Math.max(...this.#powers)
    const isWeak = this.#chosen === undefined && this.#mixedPower < least
    this.#gain = isWeak ? Math.sqrt(least / this.#mixedPower) : 1
  }

  #choose(): number | undefined {
    const powers = this.#powers
    const independent = powers.reduce((sum, each) => sum + each, 0) / powers.length ** 2
    const limit = this.#chosen === undefined ? CANCELLED : RECOVERED
    if (this.#mixedPower >= limit ** 2 * independent) return undefined
    const loudest = Math.max(...powers)
    const kept = this.#chosen === undefined ? 0 : (powers[this.#chosen] ?? 0)
    return this.#chosen === undefined || loudest > LOUDER * kept
      ? powers.indexOf(loudest)
      : this.#chosen
  }

  #select(channels: readonly Float32Array[], mean: Float32Array): Part {
    const alone = this.#chosen === undefined ? undefined : channels[this.#chosen]
    return { samples: alone ?? mean, gain: this.#gain }
  }
}

interface Part {
  samples: Float32Array
  gain: number
}

function average(first: Float32Array, channels: readonly Float32Array[]): Float32Array {
  return first.map((_, i) => {
    let sum = 0
    for (const channel of channels) sum += channel[i] ?? 0
    return sum / channels.length
  })
}

function measurePower(samples: Float32Array): number {
  let sum = 0
  for (const sample of samples) sum += sample * sample
  return sum
}

function scale(samples: Float32Array, gain: number): Float32Array {
  return gain === 1 ? samples : samples.map((sample) => sample * gain)
}

/** Crossfades from one choice to the next, which avoids a click. */
function crossfade(before: Part, after: Part): Float32Array {
  return after.samples.map((sample, i) => {
    const share = (i + 1) / after.samples.length
    return (before.samples[i] ?? 0) * before.gain * (1 - share) + sample * after.gain * share
  })
}
