import { FRAME_SAMPLES, SAMPLE_RATE, toSeconds } from '../audio/pcm.ts'
import type { Continue, Pause } from '../protocol.ts'
import { Elapsed } from '../shared/elapsed.ts'
import { KeptAudio } from './keptAudio.ts'
import { Pace } from './pace.ts'
import { Pauses } from './pauses.ts'

/** The bound of the audio that waits for a service that cannot resume, in seconds. */
const MOST_QUEUED = 20
/** The bound of the audio that is kept for a service that can, in seconds. */
export const MOST_KEPT = 600
/** The largest age of a sample that the protocol has, in seconds. */
const OLDEST = 600
/** After so long without a connection a service publishes what it has of a stream, in seconds. */
const STREAM_KEPT = 600

/**
 * The audio of one speaker on its way to the service: what is kept, what comes next, what is lost.
 *
 * Indices count the samples since Start; on the wire they count from the first of the stream. If
 * the service resumes streams, audio is kept until it is durable. Otherwise it is dropped as it is
 * sent.
 */
export class OutgoingAudio {
  readonly #kept = new KeptAudio(MOST_QUEUED)
  readonly #pauses = new Pauses()
  readonly #pace = new Pace()
  readonly #elapsed = new Elapsed()
  /** The index of the stream's first sample. */
  #origin = 0
  /** The index of the sample to send next. */
  #next = 0
  /** The pauses before this index were reported over the present connection. */
  #reported = 0
  /** The service has all audio before this index, as far as it has said. */
  #received = 0
  /** Samples that will not be recognised. */
  #lost = 0
  #resumes = false
  #pushedAt = 0
  #answeredAt = 0

  /** Whether the service resumes streams, so that audio is kept. */
  get resumes(): boolean {
    return this.#resumes
  }

  /** Seconds of audio that have not been sent over the present connection. */
  get unsent(): number {
    return Math.max(0, this.#kept.end - Math.max(this.#next, this.#kept.first)) / SAMPLE_RATE
  }

  /** Seconds of audio that are kept because the service may need them again. */
  get kept(): number {
    return this.#resumes ? (this.#kept.end - this.#kept.first) / SAMPLE_RATE : 0
  }

  /** Whether no more audio can be kept. */
  get isFull(): boolean {
    return this.kept >= MOST_KEPT
  }

  /** Seconds of audio that will not be recognised. */
  get lost(): number {
    const dropped = this.#resumes ? Math.max(0, this.#kept.first - this.#received) : 0
    return (this.#lost + dropped) / SAMPLE_RATE
  }

  /** Whether audio that comes next is not kept any more: only a resume can leave it out. */
  get hasHole(): boolean {
    return this.#resumes && this.#next < this.#kept.first
  }

  /**
   * Adds a frame of s16le.
   *
   * @param captured when it was recorded, in milliseconds since 1970
   */
  push(frame: ArrayBuffer, captured: number): void {
    const now = this.#elapsed.read()
    const start = this.#kept.end
    this.#kept.push(frame)
    this.#pauses.note(start, this.#kept.end - start, now, captured / 1_000)
    this.#pauses.dropBefore(this.#kept.first)
    this.#pushedAt = now
    if (!this.#resumes) {
      this.#lost += Math.max(0, this.#kept.first - this.#next)
      this.#next = Math.max(this.#next, this.#kept.first)
    }
  }

  /** Begins the first stream, or one that goes on without the service's memory of the last. */
  begin(resumes: boolean): Continue {
    this.#resumes = resumes
    if (resumes) this.#kept.raiseLimit(MOST_KEPT)
    const from = Math.max(this.#next, this.#kept.first)
    this.#lost += from - this.#next
    this.#origin = from
    this.#received = from
    this.#kept.dropBefore(from)
    // The age covers a pause before the first sample.
    return this.#continueAt(from, from + 1)
  }

  /** Resumes the stream where the service needs it, or later if the audio from there is lost. */
  resume(sample: number): Continue {
    const wanted = this.#origin + sample
    const from = Math.max(wanted, this.#kept.first)
    this.#lost += from - wanted
    this.#received = from
    return this.#continueAt(from, from)
  }

  /** Whether the service has lost what it had received before, and needs it again. */
  isBehind(sample: number): boolean {
    // What it has received is known in rounded seconds.
    return this.#origin + sample < this.#received - FRAME_SAMPLES
  }

  /**
   * Prepares another stream, because the service does not know this one any more. It begins with
   * what is not durable, or, after so long that the service has published the rest, with what the
   * service had not received.
   */
  forgetStream(): void {
    const isPublished = this.#elapsed.read() - this.#answeredAt > STREAM_KEPT
    this.#beginAt(isPublished ? this.#received : 0)
  }

  /** Takes an acknowledgement: seconds received of the stream, and durable samples. */
  acknowledge(received: number, durable: number | undefined): void {
    if (!this.#resumes) return
    const reached = this.#origin + Math.floor(received * SAMPLE_RATE)
    this.#received = Math.max(this.#received, Math.min(reached, this.#next))
    if (durable === undefined) return
    this.#kept.dropBefore(Math.min(this.#origin + durable, this.#next))
    this.#received = Math.max(this.#received, this.#kept.first)
    this.#pauses.dropBefore(this.#kept.first)
  }

  /** Notes that the service has answered. */
  noteAnswer(): void {
    this.#answeredAt = this.#elapsed.read()
  }

  /**
   * Returns what to send next; undefined where nothing is left, or not at present.
   *
   * @param atOnce sends faster than who catches up may
   */
  take(atOnce = false): ArrayBuffer | Pause | undefined {
    const isPaced = this.#resumes && !atOnce
    if (this.hasHole || (isPaced && !this.#pace.allows(this.#elapsed.read()))) return undefined
    const pause = this.#resumes ? this.#pauses.nextFrom(this.#reported) : undefined
    if (pause?.sample === this.#next) {
      this.#reported = pause.sample + 1
      return { type: 'pause', sample: pause.sample - this.#origin, seconds: pause.seconds }
    }
    const most = Math.min(FRAME_SAMPLES, (pause?.sample ?? Infinity) - this.#next)
    const frame = this.#kept.read(this.#next, most)
    if (frame === undefined) return undefined
    const seconds = toSeconds(frame.byteLength)
    this.#pace.spend(seconds)
    this.#next += Math.round(seconds * SAMPLE_RATE)
    if (!this.#resumes) this.#kept.dropBefore(this.#next)
    return frame
  }

  /** Drops everything that was not sent; `asLost` counts it as lost. */
  clear(asLost: boolean): void {
    const from = this.#resumes ? this.#received : this.#next
    if (asLost) this.#lost += Math.max(0, this.#kept.end - Math.max(from, this.#kept.first))
    if (asLost && this.#resumes) this.#lost += Math.max(0, this.#kept.first - from)
    this.#kept.dropBefore(this.#kept.end)
    this.#next = this.#kept.end
    this.#received = this.#kept.end
  }

  #beginAt(index: number): void {
    const from = Math.min(Math.max(index, this.#kept.first), this.#kept.end)
    this.#lost += Math.max(0, from - Math.max(index, this.#received))
    this.#next = from
    this.#received = from
    this.#kept.dropBefore(from)
  }

  #continueAt(index: number, reported: number): Continue {
    this.#next = index
    this.#reported = reported
    return { type: 'continue', sample: index - this.#origin, age: this.#ageOf(index) }
  }

  /** Computes how long ago a sample was recorded, in seconds. */
  #ageOf(index: number): number {
    const behind = Math.max(0, this.#kept.end - index) / SAMPLE_RATE
    if (behind === 0) return 0
    const since = this.#elapsed.read() - this.#pushedAt
    return Math.min(OLDEST, behind + since + this.#pauses.secondsAfter(index))
  }
}
