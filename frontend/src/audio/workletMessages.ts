/** The messages between the page and the worklet. */

/** The name under which the worklet registers itself. */
export const PROCESSOR = 'cloudscribe-capture'

/** To the worklet: send the audio that is left, then end. */
export type CaptureCommand = 'flush'

/** From the worklet. */
export type CaptureEvent =
  /**
   * 100 ms of s16le at 16 kHz, transferred, its loudness from 0 to 1, and when it was complete, in
   * milliseconds since 1970: a busy page gets it later.
   */
  | { kind: 'frame'; pcm: ArrayBuffer; level: number; captured: number }
  /** The last message: every frame was sent. */
  | { kind: 'flushed' }
