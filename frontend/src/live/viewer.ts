import type { Problem } from '../shared/problem.ts'
import type {
  ErrorCode,
  Error as ErrorMessage,
  Final,
  Heartbeat,
  Partial,
  Snapshot,
  Translation,
  TranslationStatus,
  Utterance,
} from '../protocol.ts'
import type { Admission } from './admission.ts'
import { Channel, type ChannelEvents } from './channel.ts'
import { CONNECTION_LOST, describeError, isTransient } from './serverProblems.ts'
import { Reconnect } from './reconnect.ts'

/** The longest time without a message, in seconds: two and a half heartbeats. */
const SILENCE = 25

export type ViewerEvent =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'waiting'; problem: Problem; retryAt: number }
  /** Without a code there is no ticket for the connection. */
  | { kind: 'ended'; problem: Problem; code: ErrorCode | undefined }
  | {
      kind: 'message'
      message: Snapshot | Partial | Final | Heartbeat | Translation | TranslationStatus
    }
  /** A complete snapshot that followed an incomplete one. */
  | { kind: 'snapshot_completed'; utterances: Utterance[] }

/** Receives a conversation, and reconnects for as long as the page is open, where that can help. */
export class Viewer {
  readonly #url: string
  readonly #emit: (event: ViewerEvent) => void
  readonly #admission: Admission | undefined
  readonly #reconnect = new Reconnect(() => {
    this.#connect()
  })
  readonly #snapshotRetry = new Reconnect(() => {
    this.#requestSnapshot()
  })
  #channel: Channel | undefined
  #snapshotChannel: Channel | undefined
  #isLive = false

  /** @param admission gets tickets; undefined in an open environment */
  constructor(url: string, emit: (event: ViewerEvent) => void, admission?: Admission) {
    this.#url = url
    this.#emit = emit
    this.#admission = admission
  }

  open(): void {
    this.#connect()
  }

  /** Makes a pending attempt to connect now. */
  retryNow(): void {
    this.#reconnect.hasten()
  }

  close(): void {
    this.#reconnect.cancel()
    this.#cancelSnapshot()
    this.#channel?.close()
  }

  #connect(): void {
    this.#isLive = false
    this.#emit({ kind: 'connecting' })
    const events: ChannelEvents = {
      onMessage: (message) => {
        switch (message.type) {
          case 'snapshot':
          case 'partial':
          case 'final':
          case 'heartbeat':
          case 'translation':
          case 'translation_status':
            this.#markLive()
            this.#emit({ kind: 'message', message })
            if (message.type === 'snapshot' && !message.complete) this.#requestSnapshot()
            break
          case 'error':
            this.#handleError(message)
            break
          case 'ready':
          case 'ack':
          case 'closed':
            break // Only speakers get these.
        }
      },
      onGone: () => {
        this.#wait(CONNECTION_LOST)
      },
      onRefused: ({ problem, isFinal }) => {
        if (isFinal) this.#emit({ kind: 'ended', problem, code: undefined })
        else this.#wait(problem)
      },
    }
    this.#channel = new Channel(this.#url, SILENCE, events, this.#admission)
  }

  /** Requests snapshots over a second connection, until one is complete. */
  #requestSnapshot(): void {
    const url = new URL(this.#url)
    url.searchParams.set('mode', 'snapshot')
    url.searchParams.delete('language') // snapshots alone are not translated
    this.#snapshotChannel?.close()
    const retry = () => {
      this.#snapshotRetry.schedule()
    }
    const events: ChannelEvents = {
      onMessage: (message) => {
        if (message.type === 'error') {
          this.#snapshotChannel?.close()
          this.#snapshotRetry.schedule(message.retryAfter)
        } else if (message.type === 'snapshot' && message.complete) {
          this.#cancelSnapshot()
          this.#emit({ kind: 'snapshot_completed', utterances: message.utterances })
        }
      },
      onGone: retry,
      onRefused: retry,
    }
    this.#snapshotChannel = new Channel(url.href, SILENCE, events, this.#admission)
  }

  #cancelSnapshot(): void {
    this.#snapshotRetry.cancel()
    this.#snapshotRetry.reset()
    this.#snapshotChannel?.close()
  }

  #markLive(): void {
    if (this.#isLive) return
    this.#isLive = true
    this.#reconnect.reset()
    this.#emit({ kind: 'live' })
  }

  #handleError(error: ErrorMessage): void {
    this.#channel?.close()
    this.#cancelSnapshot()
    const problem = describeError(error)
    if (isTransient(error)) this.#wait(problem, error.retryAfter)
    else this.#emit({ kind: 'ended', problem, code: error.code })
  }

  #wait(problem: Problem, retryAfter?: number): void {
    this.#cancelSnapshot() // the next connection begins with a snapshot of its own
    this.#emit({ kind: 'waiting', problem, retryAt: this.#reconnect.schedule(retryAfter) })
  }
}
