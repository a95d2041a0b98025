import type { Problem } from '../shared/problem.ts'
import { toSeconds } from '../audio/pcm.ts'
import type {
  Closed,
  Error as ErrorMessage,
  Final,
  Partial,
  Ready,
  ServerMessage,
  Stop,
} from '../protocol.ts'
import type { Admission, Refusal } from './admission.ts'
import { AudioQueue } from './audioQueue.ts'
import { Channel, type ChannelEvents } from './channel.ts'
import {
  CONNECTION_LOST,
  describeClose,
  describeError,
  isTransient,
  SERVER_UNREACHABLE,
  STOP_UNCONFIRMED,
} from './serverProblems.ts'
import { Reconnect } from './reconnect.ts'

/** The longest time without a message, in seconds. An acknowledgement arrives every second. */
const SILENCE = 12
/** The bound of the audio that waits to be sent, in seconds. */
const MOST_QUEUED = 20
/** The bound of the socket's own buffer, in seconds of audio. */
const MOST_BUFFERED = 2
/** How often the rest of the queue is sent after the last frame, in milliseconds. */
const DRAIN_INTERVAL = 50
/** Frames between two reports of the progress. */
const FRAMES_PER_REPORT = 10
/** A connection that lasted so long resets the back-off, in milliseconds. */
const STABLE = 10_000
/** Attempts before the stream ends with a problem, about 45 seconds. */
const MOST_ATTEMPTS = 8

export type SpeakerEvent =
  | { kind: 'connecting' }
  | { kind: 'listening'; ready: Ready }
  | { kind: 'waiting'; problem: Problem; retryAt: number }
  /** The captions' delay behind the microphone, and the audio lost so far; both in seconds. */
  | { kind: 'progress'; lag: number; lost: number }
  | { kind: 'message'; message: Partial | Final }
  | { kind: 'ended'; problem: Problem | undefined }

type State = 'idle' | 'connecting' | 'listening' | 'waiting' | 'ended'

/**
 * Streams one speaker's audio to the server, and reconnects where necessary.
 *
 * Audio that cannot be sent yet is queued, so that neither the first words nor those during a short
 * interruption are lost. Nothing is queued while the server has no free slot: the page then shows
 * that it does not listen.
 */
export class Speaker {
  readonly #url: string
  readonly #emit: (event: SpeakerEvent) => void
  readonly #admission: Admission | undefined
  readonly #queue = new AudioQueue(MOST_QUEUED)
  readonly #reconnect = new Reconnect(() => {
    this.#connect()
  })
  #channel: Channel | undefined
  #drain: ReturnType<typeof setInterval> | undefined
  #state: State = 'idle'
  #stopping: 'no' | 'asked' | 'sent' = 'no'
  #wasReady = false // from the first `ready` on, dropped audio counts as lost
  #hadUsedTicket = false // the server refused a ticket as used since the last `ready`
  #awaitsSlot = false // waiting for a slot rather than for the network
  #listeningSince = 0
  #serverLag = 0
  #frames = 0

  /** @param admission gets tickets; undefined in an open environment */
  constructor(url: string, emit: (event: SpeakerEvent) => void, admission?: Admission) {
    this.#url = url
    this.#emit = emit
    this.#admission = admission
  }

  open(): void {
    this.#connect()
  }

  /** Queues one frame of s16le and sends what the server and the network accept. */
  send(frame: ArrayBuffer): void {
    if (this.#state === 'ended') return
    this.#queue.push(frame)
    if (this.#awaitsSlot) this.#queue.clear(this.#wasReady)
    this.#frames += 1
    if (this.#frames % FRAMES_PER_REPORT === 0) this.#reportProgress()
    this.#pump()
  }

  /** Ends the stream: sends the queue, receives the last finals, then emits `ended`. */
  stop(): void {
    if (this.#stopping !== 'no' || this.#state === 'ended') return
    this.#stopping = 'asked'
    if (this.#state === 'waiting') {
      this.#queue.clear(this.#wasReady)
      this.#end(undefined)
      return
    }
    this.#drain = setInterval(() => {
      this.#pump()
    }, DRAIN_INTERVAL)
    this.#pump()
  }

  /** Ends at once. Nothing is emitted any more. */
  abandon(): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#reconnect.cancel()
    clearInterval(this.#drain)
    this.#channel?.close()
  }

  /** Makes a pending attempt to connect now. */
  retryNow(): void {
    this.#reconnect.hasten()
  }

  #connect(): void {
    this.#state = 'connecting'
    this.#awaitsSlot = false
    this.#serverLag = 0
    this.#emit({ kind: 'connecting' })
    const events: ChannelEvents = {
      onMessage: (message) => {
        this.#receive(message)
      },
      onGone: () => {
        this.#handleInterruption(CONNECTION_LOST)
      },
      onRefused: (refusal) => {
        this.#handleRefusal(refusal)
      },
    }
    this.#channel = new Channel(this.#url, SILENCE, events, this.#admission)
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case 'ready':
        this.#state = 'listening'
        this.#wasReady = true
        this.#hadUsedTicket = false
        this.#listeningSince = Date.now()
        this.#emit({ kind: 'listening', ready: message })
        this.#pump()
        break
      case 'partial':
      case 'final':
        this.#emit({ kind: 'message', message })
        break
      case 'ack':
        this.#serverLag = message.lag
        this.#reportProgress()
        break
      case 'closed':
        this.#handleClose(message)
        break
      case 'error':
        this.#handleError(message)
        break
      case 'snapshot':
      case 'heartbeat':
      case 'translation':
      case 'translation_status':
        break // Only viewers get these.
    }
  }

  /** Sends as much of the queue as the network takes; after the very last frame, the stop. */
  #pump(): void {
    const channel = this.#channel
    if (this.#state !== 'listening' || channel === undefined || this.#stopping === 'sent') return
    while (toSeconds(channel.bufferedAmount) < MOST_BUFFERED) {
      const frame = this.#queue.shift()
      if (frame === undefined) break
      channel.send(frame)
    }
    if (this.#stopping === 'asked' && this.#queue.seconds === 0) {
      clearInterval(this.#drain)
      this.#stopping = 'sent'
      channel.send(JSON.stringify({ type: 'stop' } satisfies Stop))
    }
  }

  #reportProgress(): void {
    const unsent = this.#queue.seconds + toSeconds(this.#channel?.bufferedAmount ?? 0)
    this.#emit({ kind: 'progress', lag: this.#serverLag + unsent, lost: this.#queue.lost })
  }

  #handleClose({ reason, duration }: Closed): void {
    this.#channel?.close()
    if (reason === 'draining' && this.#stopping === 'no') this.#wait(CONNECTION_LOST)
    else this.#end(describeClose(reason, duration))
  }

  #handleError(error: ErrorMessage): void {
    this.#channel?.close()
    if (!isTransient(error)) {
      this.#end(describeError(error))
    } else if (error.code === 'ticket_used' && !this.#hadUsedTicket && this.#stopping === 'no') {
      // One new ticket at once; if that is refused, too, the attempts get a distance.
      this.#hadUsedTicket = true
      this.#connect()
    } else if (error.code === 'at_capacity' && this.#stopping === 'no') {
      this.#awaitsSlot = true
      this.#queue.clear(this.#wasReady)
      this.#wait(describeError(error), error.retryAfter)
    } else {
      this.#handleInterruption(describeError(error), error.retryAfter)
    }
  }

  #handleRefusal({ problem, isFinal }: Refusal): void {
    if (!isFinal) {
      this.#handleInterruption(problem)
      return
    }
    this.#queue.clear(this.#wasReady)
    this.#end(problem)
  }

  #handleInterruption(problem: Problem, retryAfter?: number): void {
    if (this.#state === 'listening' && Date.now() - this.#listeningSince > STABLE) {
      this.#reconnect.reset()
    }
    if (this.#stopping !== 'no') {
      this.#queue.clear(this.#wasReady)
      this.#end(STOP_UNCONFIRMED)
    } else if (this.#reconnect.attempts >= MOST_ATTEMPTS) {
      this.#queue.clear(this.#wasReady)
      this.#end(problem === CONNECTION_LOST ? SERVER_UNREACHABLE : problem)
    } else {
      this.#wait(problem, retryAfter)
    }
  }

  #wait(problem: Problem, retryAfter?: number): void {
    this.#state = 'waiting'
    this.#emit({ kind: 'waiting', problem, retryAt: this.#reconnect.schedule(retryAfter) })
  }

  #end(problem: Problem | undefined): void {
    this.#reportProgress()
    this.abandon()
    this.#emit({ kind: 'ended', problem })
  }
}
