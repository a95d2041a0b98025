import type { ServerMessage } from '../protocol.ts'
import { parseMessage } from './parseMessage.ts'

export interface ChannelEvents {
  onMessage: (message: ServerMessage) => void
  /** The connection failed, was closed by the server, or has been silent for too long. */
  onGone: () => void
}

/**
 * One WebSocket connection that is known to be alive.
 *
 * A network that vanishes leaves a socket open for minutes, so one that is silent for longer
 * than the protocol allows counts as gone. After `close`, or after `onGone`, no event follows.
 */
export class Channel {
  readonly #socket: WebSocket
  readonly #events: ChannelEvents
  readonly #silence: number
  #watchdog: ReturnType<typeof setTimeout> | undefined
  #open = true

  /** @param silence longest time without a message, in seconds */
  constructor(url: string, silence: number, events: ChannelEvents) {
    this.#events = events
    this.#silence = silence
    this.#socket = new WebSocket(url)
    this.#socket.onmessage = ({ data }) => {
      this.#watch()
      const message = parseMessage(data)
      if (message !== undefined && this.#open) this.#events.onMessage(message)
    }
    this.#socket.onclose = () => {
      this.#gone()
    }
    this.#watch()
  }

  /** Bytes that were handed over and have not left this machine. */
  get bufferedAmount(): number {
    return this.#socket.bufferedAmount
  }

  send(data: string | ArrayBuffer): void {
    if (this.#open && this.#socket.readyState === WebSocket.OPEN) this.#socket.send(data)
  }

  close(): void {
    this.#open = false
    clearTimeout(this.#watchdog)
    this.#socket.close()
  }

  #watch(): void {
    clearTimeout(this.#watchdog)
    if (!this.#open) return
    this.#watchdog = setTimeout(() => {
      this.#gone()
    }, 1_000 * this.#silence)
  }

  #gone(): void {
    if (!this.#open) return
    this.close()
    this.#events.onGone()
  }
}
