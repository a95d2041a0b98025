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
import { Channel } from './channel.ts'
import { CONNECTION_LOST, isPassing, serverProblem } from './serverProblems.ts'
import { Reconnect } from './reconnect.ts'

/** Two and a half heartbeats, in seconds. */
const SILENCE = 25

export type ViewerEvent =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'waiting'; problem: Problem; retryAt: number }
  | { kind: 'ended'; problem: Problem; code: ErrorCode }
  | {
      kind: 'message'
      message: Snapshot | Partial | Final | Heartbeat | Translation | TranslationStatus
    }
  /** The whole of what an incomplete snapshot had a part of. */
  | { kind: 'snapshotCompleted'; utterances: Utterance[] }

/** Follows a conversation, and comes back by itself for as long as that can help. */
export class Viewer {
  readonly #url: string
  readonly #emit: (event: ViewerEvent) => void
  readonly #reconnect = new Reconnect(() => {
    this.#connect()
  })
  readonly #recallAgain = new Reconnect(() => {
    this.#recall()
  })
  #channel: Channel | undefined
  #past: Channel | undefined
  #live = false

  constructor(url: string, emit: (event: ViewerEvent) => void) {
    this.#url = url
    this.#emit = emit
  }

  open(): void {
    this.#connect()
  }

  /** Does not wait for the next attempt. */
  retryNow(): void {
    this.#reconnect.now()
  }

  close(): void {
    this.#reconnect.cancel()
    this.#endRecall()
    this.#channel?.close()
  }

  #connect(): void {
    this.#live = false
    this.#emit({ kind: 'connecting' })
    this.#channel = new Channel(this.#url, SILENCE, {
      onMessage: (message) => {
        switch (message.type) {
          case 'snapshot':
          case 'partial':
          case 'final':
          case 'heartbeat':
          case 'translation':
          case 'translation_status':
            this.#alive()
            this.#emit({ kind: 'message', message })
            if (message.type === 'snapshot' && !message.complete) this.#recall()
            break
          case 'error':
            this.#refused(message)
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
    })
  }

  /** Asks beside the live connection for snapshots, until one is complete. */
  #recall(): void {
    const url = new URL(this.#url)
    url.searchParams.set('mode', 'snapshot')
    url.searchParams.delete('language') // snapshots alone are not translated
    this.#past?.close()
    this.#past = new Channel(url.href, SILENCE, {
      onMessage: (message) => {
        if (message.type === 'error') {
          this.#past?.close()
          this.#recallAgain.later(message.retryAfter)
        } else if (message.type === 'snapshot' && message.complete) {
          this.#endRecall()
          this.#emit({ kind: 'snapshotCompleted', utterances: message.utterances })
        }
      },
      onGone: () => {
        this.#recallAgain.later()
      },
    })
  }

  #endRecall(): void {
    this.#recallAgain.cancel()
    this.#recallAgain.succeeded()
    this.#past?.close()
  }

  #alive(): void {
    if (this.#live) return
    this.#live = true
    this.#reconnect.succeeded()
    this.#emit({ kind: 'live' })
  }

  #refused(error: ErrorMessage): void {
    this.#channel?.close()
    this.#endRecall()
    const problem = serverProblem(error)
    if (isPassing(error)) this.#wait(problem, error.retryAfter)
    else this.#emit({ kind: 'ended', problem, code: error.code })
  }

  #wait(problem: Problem, retryAfter?: number): void {
    this.#endRecall() // the next connection begins with a snapshot of its own
    this.#emit({ kind: 'waiting', problem, retryAt: this.#reconnect.later(retryAfter) })
  }
}
