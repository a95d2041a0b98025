/**
 * Converts the microphone's audio on the audio thread: channels at the device's rate in, frames of
 * mono s16le at 16 kHz out to the page.
 */

import { Downmix } from './downmix.ts'
import { Framer } from './framer.ts'
import { encode, rms, SAMPLE_RATE } from './pcm.ts'
import { Resampler } from './resample.ts'
import { type CaptureEvent, PROCESSOR } from './workletMessages.ts'

class CaptureProcessor extends AudioWorkletProcessor {
  readonly #downmix = new Downmix(sampleRate)
  readonly #resampler = new Resampler(sampleRate, SAMPLE_RATE)
  readonly #framer = new Framer()
  #open = true

  constructor() {
    super()
    // `flush` is the only command.
    this.port.onmessage = () => {
      this.#flush()
    }
  }

  process([input]: Float32Array[][]): boolean {
    // Without a source there are no channels: no audio, rather than silence.
    if (this.#open && input !== undefined && input.length > 0) {
      this.#framer.push(this.#resampler.push(this.#downmix.push(input)), this.#send)
    }
    return this.#open
  }

  #flush(): void {
    if (!this.#open) return
    this.#open = false
    this.#framer.push(this.#resampler.flush(), this.#send)
    this.#framer.flush(this.#send)
    this.#post({ kind: 'flushed' })
  }

  readonly #send = (frame: Float32Array): void => {
    const pcm = encode(frame)
    this.#post({ kind: 'frame', pcm, level: rms(frame), captured: Date.now() }, [pcm])
  }

  #post(event: CaptureEvent, transfer: ArrayBuffer[] = []): void {
    this.port.postMessage(event, transfer)
  }
}

registerProcessor(PROCESSOR, CaptureProcessor)
