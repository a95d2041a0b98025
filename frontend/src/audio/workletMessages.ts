/** The messages between the page and the worklet. */

/** The name under which the worklet registers itself. */
export const PROCESSOR = 'cloudscribe-capture'

/** To the worklet: send the audio that is left, then end. */
export type CaptureCommand = 'flush'

/** From the worklet. */
export type CaptureEvent =
  /** 100 ms of s16le at 16 kHz, transferred, and its loudness from 0 to 1. */
  | { kind: 'frame'; pcm: ArrayBuffer; level: number }
  /** The last message: every frame was sent. */
  | { kind: 'flushed' }
