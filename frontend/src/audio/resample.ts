/**
 * Streaming sample rate conversion by a windowed sinc.
 *
 * The ratio of the rates is reduced to L / M. Output sample n lies at the input time n * M / L,
 * so it has one of L fractional positions ("phases"), and each phase has its own row of filter
 * taps: a polyphase FIR filter. Pass band and stop band follow from the lower of the two rates:
 * the filter passes everything up to 7/8 of its Nyquist frequency and nothing above Nyquist. For
 * a target of 16 kHz, 7 kHz pass and 8 kHz do not.
 *
 * The window is Kaiser's, with his formulas for its length and shape (J. F. Kaiser,
 * "Nonrecursive digital filter design using the I0-sinh window function", 1974).
 */

/** Where the pass band ends, as a share of the Nyquist frequency of the lower rate. */
const PASS_BAND = 7 / 8
/** How far the stop band lies below the pass band, in dB. */
const ATTENUATION = 80

export class Resampler {
  readonly #interpolation: number // L
  readonly #decimation: number // M
  readonly #reach: number // taps on each side of an output sample
  readonly #taps: Float32Array // one row of 2 * reach taps for each of L phases
  #pending: Float32Array // input that later outputs still need
  #held: number // how many samples of #pending are in use
  #phase = 0 // of the next output sample, in units of 1 / L input samples
  #owed = 0 // L times the input samples, minus M times the output samples

  /** @param inputRate and @param outputRate in Hz, positive integers */
  constructor(inputRate: number, outputRate: number) {
    for (const rate of [inputRate, outputRate]) {
      if (!Number.isInteger(rate) || rate <= 0) throw new RangeError(`not a sample rate: ${rate}`)
    }
    const divisor = greatestCommonDivisor(inputRate, outputRate)
    this.#interpolation = outputRate / divisor
    this.#decimation = inputRate / divisor

    // Frequencies as shares of the input rate.
    const nyquist = Math.min(inputRate, outputRate) / 2 / inputRate
    const transition = nyquist * (1 - PASS_BAND)
    const length = (ATTENUATION - 7.95) / (14.36 * transition)
    this.#reach = Math.ceil(length / 2)
    this.#taps = designTaps(this.#interpolation, this.#reach, nyquist - transition / 2)

    // Silence before the first sample, so that output 0 is centred on input 0.
    this.#held = this.#reach - 1
    this.#pending = new Float32Array(this.#held + 4096)
  }

  /** Takes mono samples and returns the output that they complete, which may be empty. */
  push(input: Float32Array): Float32Array {
    this.#owed += input.length * this.#interpolation
    return this.#convert(input)
  }

  /**
   * Ends the stream and returns the rest of the output.
   *
   * In total n input samples give ceil(n * outputRate / inputRate) output samples.
   */
  flush(): Float32Array {
    return this.#convert(new Float32Array(this.#reach))
  }

  #convert(input: Float32Array): Float32Array {
    this.#append(input)
    const width = 2 * this.#reach
    const output = new Float32Array(this.#count(width))
    let base = 0
    for (let n = 0; n < output.length; n++) {
      const row = this.#phase * width
      let sum = 0
      for (let k = 0; k < width; k++) {
        // Both indices are in range by construction; `?? 0` would cost a branch per tap.
        sum += this.#pending[base + k]! * this.#taps[row + k]! // eslint-disable-line @typescript-eslint/no-non-null-assertion
      }
      output[n] = sum
      this.#phase += this.#decimation
      base += Math.floor(this.#phase / this.#interpolation)
      this.#phase %= this.#interpolation
    }
    this.#owed -= output.length * this.#decimation
    // Where the output rate is far lower, a step may lead beyond the pending input.
    const consumed = Math.min(base, this.#held)
    this.#pending.copyWithin(0, consumed, this.#held)
    this.#held -= consumed
    this.#phase += (base - consumed) * this.#interpolation
    return output
  }

  /** Counts the outputs that can be computed now, at most those that the input lasts for. */
  #count(width: number): number {
    const due = Math.ceil(this.#owed / this.#decimation)
    const room = (this.#held - width + 1) * this.#interpolation - this.#phase
    return Math.max(0, Math.min(due, Math.ceil(room / this.#decimation)))
  }

  #append(input: Float32Array): void {
    const needed = this.#held + input.length
    if (needed > this.#pending.length) {
      const larger = new Float32Array(2 * needed)
      larger.set(this.#pending.subarray(0, this.#held))
      this.#pending = larger
    }
    this.#pending.set(input, this.#held)
    this.#held = needed
  }
}

/** Designs the rows of taps, one per phase. Each row sums to 1, so that a constant is preserved. */
function designTaps(phases: number, reach: number, cutoff: number): Float32Array {
  const beta = 0.1102 * (ATTENUATION - 8.7) // Kaiser's, for more than 50 dB
  const width = 2 * reach
  const taps = new Float32Array(phases * width)
  const row = new Float64Array(width)
  for (let phase = 0; phase < phases; phase++) {
    let sum = 0
    for (let k = 0; k < width; k++) {
      const distance = k - (reach - 1) - phase / phases // from the output sample, in input samples
      const tap = sinc(2 * cutoff * distance) * kaiser(distance / reach, beta)
      row[k] = tap
      sum += tap
    }
    taps.set(
      row.map((tap) => tap / sum),
      phase * width,
    )
  }
  return taps
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x)
}

/** Computes Kaiser's window at `x` from -1 to 1. */
function kaiser(x: number, beta: number): number {
  return Math.abs(x) > 1 ? 0 : besselI0(beta * Math.sqrt(1 - x * x)) / besselI0(beta)
}

/** Computes the modified Bessel function of the first kind and order zero by its power series. */
function besselI0(x: number): number {
  let sum = 1
  let term = 1
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2
    sum += term
  }
  return sum
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
