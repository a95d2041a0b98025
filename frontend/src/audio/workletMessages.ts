/** What the page and the worklet say to each other over their message port. */

/** The name under which the worklet registers itself. */
export const PROCESSOR = 'cloudscribe-capture'

/** To the worklet: hand over what is left, then end. */
export type CaptureCommand = 'flush'

export type CaptureEvent =
  /** 100 ms of s16le at 16 kHz, transferred, and its loudness from 0 to 1. */
  | { kind: 'frame'; pcm: ArrayBuffer; level: number }
  /** Nothing follows. */
  | { kind: 'flushed' }
