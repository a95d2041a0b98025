import workletUrl from './capture.worklet.ts?worker&url'

import { MicrophoneError, toMicrophoneFault } from './microphoneProblems.ts'
import { SAMPLE_RATE } from './pcm.ts'
import { type CaptureCommand, type CaptureEvent, PROCESSOR } from './workletMessages.ts'

/** How long to wait for the audio thread's last frame, in milliseconds. */
const FLUSH_TIMEOUT = 1_000

export interface MicrophoneEvents {
  /**
   * 100 ms of s16le mono at 16 kHz (the last frame may be shorter); `level` is its RMS, `captured`
   * when it was complete, in milliseconds since 1970.
   */
  onFrame: (pcm: ArrayBuffer, level: number, captured: number) => void
  /** The device was disconnected, or the system withdrew it. */
  onLost: () => void
}

/** An open microphone. */
export class Microphone {
  readonly #stream: MediaStream
  readonly #context: AudioContext
  readonly #node: AudioWorkletNode
  readonly #flushed: Promise<void>
  #closing: Promise<void> | undefined

  private constructor(
    stream: MediaStream,
    context: AudioContext,
    node: AudioWorkletNode,
    events: MicrophoneEvents,
  ) {
    this.#stream = stream
    this.#context = context
    this.#node = node
    this.#flushed = new Promise((resolve) => {
      node.port.onmessage = ({ data }: MessageEvent<CaptureEvent>) => {
        if (data.kind === 'frame') events.onFrame(data.pcm, data.level, data.captured)
        else resolve()
      }
    })
    for (const track of stream.getAudioTracks()) {
      track.addEventListener('ended', () => {
        events.onLost()
      })
    }
    context.addEventListener('statechange', () => {
      // iOS suspends the context during a phone call and does not resume it.
      if (context.state !== 'running' && !this.#closing) void context.resume()
    })
  }

  /**
   * Asks for permission where the user has not given it, and starts to record.
   *
   * @param deviceId an empty text for the system's default
   * @throws MicrophoneError
   */
  static async open(deviceId: string, events: MicrophoneEvents): Promise<Microphone> {
    if (!window.isSecureContext) throw new MicrophoneError('insecure')
    if (!('mediaDevices' in navigator) || !('AudioWorkletNode' in window)) {
      throw new MicrophoneError('unsupported')
    }
    let stream: MediaStream | undefined
    let context: AudioContext | undefined
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: buildConstraints(deviceId) })
      context = new AudioContext({ latencyHint: 'balanced' })
      await context.audioWorklet.addModule(workletUrl)
      const node = new AudioWorkletNode(context, PROCESSOR, { numberOfOutputs: 0 })
      const microphone = new Microphone(stream, context, node, events)
      context.createMediaStreamSource(stream).connect(node)
      await context.resume()
      return microphone
    } catch (error) {
      release(stream)
      await context?.close()
      throw new MicrophoneError(toMicrophoneFault(error), error)
    }
  }

  /** Emits the last frame, then releases the device; resolves when both are done. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#node.port.postMessage('flush' satisfies CaptureCommand)
    const timeout = new Promise((resolve) => setTimeout(resolve, FLUSH_TIMEOUT))
    await Promise.race([this.#flushed, timeout])
    release(this.#stream)
    this.#node.port.onmessage = null
    await this.#context.close()
  }
}

/**
 * Returns the browser's processing of the audio.
 *
 * Echo cancellation keeps a loudspeaker's voice out of the captions, and gain control raises quiet
 * speakers. Noise suppression is off: it removes parts of speech that recognisers use.
 */
function buildConstraints(deviceId: string): MediaTrackConstraints {
  return {
    ...(deviceId === '' ? {} : { deviceId: { exact: deviceId } }),
    channelCount: { ideal: 1 },
    sampleRate: { ideal: 3 * SAMPLE_RATE },
    echoCancellation: true,
    noiseSuppression: false,
    autoGainControl: true,
  }
}

function release(stream: MediaStream | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop()
}
