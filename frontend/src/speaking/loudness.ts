/** What the level meter and the "no sound" hint make of the loudness of each frame. */

/** Below this RMS a microphone is muted or dead; a quiet room is well above: -66 dBFS. */
const SILENCE = 0.0005
/** 100 ms frames of that before it is said. */
const SILENT_FRAMES = 50
/** The meter's lowest level, in dBFS. */
const FLOOR = -60

/** The share of the meter that is filled, from 0 to 1: ears hear decibels. */
export function meterFill(level: number): number {
  if (level <= 0) return 0
  const decibels = 20 * Math.log10(level)
  return Math.max(0, Math.min(1, 1 - decibels / FLOOR))
}

/** Says when a microphone has been silent for five seconds, and when it is no more. */
export class SilenceDetector {
  #frames = 0

  /** Takes the RMS of the next frame; true while the silence lasts. */
  hear(level: number): boolean {
    this.#frames = level < SILENCE ? this.#frames + 1 : 0
    return this.#frames >= SILENT_FRAMES
  }
}

/** Fills the meter. The element is scaled, which costs no layout. */
export function showLevel(meter: HTMLElement, level: number): void {
  meter.style.scale = `${meterFill(level).toFixed(3)} 1`
}
