import type { ServerMessage } from '../protocol.ts'

export interface ChannelEvents {
  /** A type that a newer server has added is passed on too, and has to be ignored. */
  onMessage: (message: ServerMessage) => void
  /** The connection failed, the server closed it, or it was silent for too long. */
  onGone: () => void
}

/**
 * One WebSocket connection with a watchdog.
 *
 * When the network disappears, a socket stays open for minutes. So a connection that is silent
 * for longer than the protocol allows counts as gone. No event follows `close` or `onGone`.
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
    this.#socket.onmessage = ({ data }: MessageEvent<string>) => {
      this.#watch()
      // The server is of the same build and has validated the message.
      if (this.#open) this.#events.onMessage(JSON.parse(data) as ServerMessage)
    }
    this.#socket.onclose = () => {
      this.#gone()
    }
    this.#watch()
  }

  /** Bytes that were sent to the socket and have not left this machine. */
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
