/** The level meter and the detection of a silent microphone, from the loudness of each frame. */

/** Below this RMS, -66 dBFS, a microphone is muted or dead; a quiet room is well above. */
const SILENCE = 0.0005
/** Silent frames of 100 ms before the user is informed. */
const SILENT_FRAMES = 50
/** The meter's lowest level, in dBFS. */
const FLOOR = -60

/** Computes the filled share of the meter, from 0 to 1, on a scale of decibels. */
export function computeMeterFill(level: number): number {
  if (level <= 0) return 0
  const decibels = 20 * Math.log10(level)
  return Math.max(0, Math.min(1, 1 - decibels / FLOOR))
}

/** Detects a microphone that has been silent for five seconds. */
export class SilenceDetector {
  #frames = 0

  /** Takes the RMS of the next frame; returns whether the microphone is silent. */
  push(level: number): boolean {
    this.#frames = level < SILENCE ? this.#frames + 1 : 0
    return this.#frames >= SILENT_FRAMES
  }
}

/** Fills the meter by scaling its element, which needs no layout. */
export function showLevel(meter: HTMLElement, level: number): void {
  meter.style.scale = `${computeMeterFill(level).toFixed(3)} 1`
}
