import type { Problem } from '../app/problem.ts'
import type { Error as ErrorMessage, Final, Heartbeat, Partial, Snapshot } from '../protocol.ts'
import { Channel } from './channel.ts'
import { CONNECTION_LOST, isPassing, serverProblem } from './problems.ts'
import { Reconnect } from './reconnect.ts'

/** Two and a half heartbeats, in seconds. */
const SILENCE = 25

export type ViewerEvent =
  | { kind: 'connecting' }
  | { kind: 'live' }
  | { kind: 'waiting'; problem: Problem; retryAt: number }
  | { kind: 'ended'; problem: Problem }
  | { kind: 'message'; message: Snapshot | Partial | Final | Heartbeat }

/** Follows a conversation, and comes back by itself for as long as that can help. */
export class Viewer {
  readonly #url: string
  readonly #emit: (event: ViewerEvent) => void
  readonly #reconnect = new Reconnect(() => {
    this.#connect()
  })
  #channel: Channel | undefined
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
            this.#alive()
            this.#emit({ kind: 'message', message })
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

  #alive(): void {
    if (this.#live) return
    this.#live = true
    this.#reconnect.succeeded()
    this.#emit({ kind: 'live' })
  }

  #refused(error: ErrorMessage): void {
    this.#channel?.close()
    const problem = serverProblem(error)
    if (isPassing(error)) this.#wait(problem, error.retryAfter)
    else this.#emit({ kind: 'ended', problem })
  }

  #wait(problem: Problem, retryAfter?: number): void {
    this.#emit({ kind: 'waiting', problem, retryAt: this.#reconnect.later(retryAfter) })
  }
}
