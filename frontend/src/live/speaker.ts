import type { Problem } from '../shared/problem.ts'
import { secondsOf } from '../audio/pcm.ts'
import type {
  Closed,
  Error as ErrorMessage,
  Final,
  Partial,
  Ready,
  ServerMessage,
  Stop,
} from '../protocol.ts'
import { AudioQueue } from './audioQueue.ts'
import { Channel } from './channel.ts'
import {
  closedProblem,
  CONNECTION_GONE,
  CONNECTION_LOST,
  isPassing,
  NO_ANSWER,
  serverProblem,
} from './serverProblems.ts'
import { Reconnect } from './reconnect.ts'

/** Acks come every second; so long without any message the server is gone, in seconds. */
const SILENCE = 12
/** Sound kept while it cannot be sent, in seconds. */
const KEPT = 20
/** Most that is handed to the socket ahead of the network, in seconds. */
const AHEAD = 2
/** So often is the rest handed over when no new sound pushes it, in milliseconds. */
const DRAIN_INTERVAL = 50
/** The lag is told once in so many frames. */
const FRAMES_PER_LAG = 10
/** A connection that lasted this long was a good one, in milliseconds. */
const GOOD = 10_000
/** Attempts after which a speaker is told instead of kept waiting: about 45 seconds. */
const ATTEMPTS = 8

export type SpeakerEvent =
  | { kind: 'connecting' }
  | { kind: 'listening'; ready: Ready }
  | { kind: 'waiting'; problem: Problem; retryAt: number }
  /** How far the captions are behind the microphone, and what was lost so far; both in seconds. */
  | { kind: 'progress'; lag: number; lost: number }
  | { kind: 'message'; message: Partial | Final }
  | { kind: 'ended'; problem: Problem | undefined }

type State = 'idle' | 'connecting' | 'listening' | 'waiting' | 'ended'

/**
 * Brings the sound of one speaker to the server, over as many connections as that takes.
 *
 * Sound that cannot be sent yet is kept for a while, so that neither the first words nor those
 * of a short interruption are lost. While every slot of the server is taken nothing is kept:
 * the page then says that it does not listen.
 */
export class Speaker {
  readonly #url: string
  readonly #emit: (event: SpeakerEvent) => void
  readonly #queue = new AudioQueue(KEPT)
  readonly #reconnect = new Reconnect(() => {
    this.#connect()
  })
  #channel: Channel | undefined
  #drain: ReturnType<typeof setInterval> | undefined
  #state: State = 'idle'
  #stopping: 'no' | 'asked' | 'sent' = 'no'
  #wasHeard = false // once the server has listened, whatever is thrown away is a loss
  #fullHouse = false // waiting for a slot, rather than for the network
  #listeningSince = 0
  #serverLag = 0
  #frames = 0

  constructor(url: string, emit: (event: SpeakerEvent) => void) {
    this.#url = url
    this.#emit = emit
  }

  open(): void {
    this.#connect()
  }

  /** Takes one frame of s16le; it is sent as soon as the server and the network take it. */
  send(frame: ArrayBuffer): void {
    if (this.#state === 'ended') return
    this.#queue.push(frame)
    if (this.#fullHouse) this.#queue.clear(this.#wasHeard)
    this.#frames += 1
    if (this.#frames % FRAMES_PER_LAG === 0) this.#tellProgress()
    this.#pump()
  }

  /** No more sound follows: the last words come, then `ended`. */
  stop(): void {
    if (this.#stopping !== 'no' || this.#state === 'ended') return
    this.#stopping = 'asked'
    if (this.#state === 'waiting') {
      this.#queue.clear(this.#wasHeard)
      this.#end(undefined)
      return
    }
    this.#drain = setInterval(() => {
      this.#pump()
    }, DRAIN_INTERVAL)
    this.#pump()
  }

  /** Ends at once and in silence; nothing is emitted any more. */
  abandon(): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#reconnect.cancel()
    clearInterval(this.#drain)
    this.#channel?.close()
  }

  /** Does not wait for the next attempt. */
  retryNow(): void {
    this.#reconnect.now()
  }

  #connect(): void {
    this.#state = 'connecting'
    this.#fullHouse = false
    this.#serverLag = 0
    this.#emit({ kind: 'connecting' })
    this.#channel = new Channel(this.#url, SILENCE, {
      onMessage: (message) => {
        this.#receive(message)
      },
      onGone: () => {
        this.#interrupted(CONNECTION_LOST)
      },
    })
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case 'ready':
        this.#state = 'listening'
        this.#wasHeard = true
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
        this.#tellProgress()
        break
      case 'closed':
        this.#closed(message)
        break
      case 'error':
        this.#refused(message)
        break
      case 'snapshot':
      case 'heartbeat':
      case 'translation':
      case 'translation_status':
        break // Only viewers get these.
    }
  }

  /** Hands over as much as the network takes; after the last frame of all, the stop. */
  #pump(): void {
    const channel = this.#channel
    if (this.#state !== 'listening' || channel === undefined || this.#stopping === 'sent') return
    while (secondsOf(channel.bufferedAmount) < AHEAD) {
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

  #tellProgress(): void {
    const unsent = this.#queue.seconds + secondsOf(this.#channel?.bufferedAmount ?? 0)
    this.#emit({ kind: 'progress', lag: this.#serverLag + unsent, lost: this.#queue.lost })
  }

  #closed({ reason, duration }: Closed): void {
    this.#channel?.close()
    if (reason === 'draining' && this.#stopping === 'no') this.#wait(CONNECTION_LOST)
    else this.#end(closedProblem(reason, duration))
  }

  #refused(error: ErrorMessage): void {
    this.#channel?.close()
    if (!isPassing(error)) {
      this.#end(serverProblem(error))
    } else if (error.code === 'at_capacity' && this.#stopping === 'no') {
      this.#fullHouse = true
      this.#queue.clear(this.#wasHeard)
      this.#wait(serverProblem(error), error.retryAfter)
    } else {
      this.#interrupted(serverProblem(error), error.retryAfter)
    }
  }

  #interrupted(problem: Problem, retryAfter?: number): void {
    if (this.#state === 'listening' && Date.now() - this.#listeningSince > GOOD) {
      this.#reconnect.succeeded()
    }
    if (this.#stopping !== 'no') {
      this.#queue.clear(this.#wasHeard)
      this.#end(NO_ANSWER)
    } else if (this.#reconnect.attempts >= ATTEMPTS) {
      this.#queue.clear(this.#wasHeard)
      this.#end(problem === CONNECTION_LOST ? CONNECTION_GONE : problem)
    } else {
      this.#wait(problem, retryAfter)
    }
  }

  #wait(problem: Problem, retryAfter?: number): void {
    this.#state = 'waiting'
    this.#emit({ kind: 'waiting', problem, retryAt: this.#reconnect.later(retryAfter) })
  }

  #end(problem: Problem | undefined): void {
    this.#tellProgress()
    this.abandon()
    this.#emit({ kind: 'ended', problem })
  }
}
