import type { ServerMessage } from '../protocol.ts'
import type { Admission, Refusal } from './admission.ts'

export interface ChannelEvents {
  /** A type that a newer server has added is passed on too, and has to be ignored. */
  onMessage: (message: ServerMessage) => void
  /** The connection failed, the server closed it, or it was silent for too long. */
  onGone: () => void
  /** There is no ticket for the connection, so it was not tried. */
  onRefused: (refusal: Refusal) => void
}

/**
 * One WebSocket connection with a watchdog.
 *
 * When the network disappears, a socket stays open for minutes. So a connection that is silent
 * for longer than the protocol allows counts as gone, unless `watch` asks for less. No event
 * follows `close`, `onGone` or `onRefused`.
 */
export class Channel {
  readonly #url: string
  readonly #events: ChannelEvents
  #silence: number
  #onSilent: (() => void) | undefined
  readonly #admission: Admission | undefined
  #socket: WebSocket | undefined
  #watchdog: ReturnType<typeof setTimeout> | undefined
  #open = true
  #wasAccepted = false

  /**
   * @param silence longest time without a message, in seconds
   * @param admission gets the ticket; undefined in an open environment
   */
  constructor(
    url: string,
    silence: number,
    events: ChannelEvents,
    admission: Admission | undefined,
  ) {
    this.#url = url
    this.#events = events
    this.#silence = silence
    this.#admission = admission
    this.#restart()
    if (admission === undefined) this.#connect()
    else void this.#enter(admission)
  }

  /** Bytes that were sent to the socket and have not left this machine. */
  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0
  }

  /**
   * Calls `onSilent` from now on when there was no message for so long, and keeps the connection:
   * it may only be slow.
   *
   * @param silence in seconds
   */
  watch(silence: number, onSilent: () => void): void {
    this.#silence = silence
    this.#onSilent = onSilent
    this.#restart()
  }

  send(data: string | ArrayBuffer): void {
    if (this.#open && this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(data)
  }

  close(): void {
    this.#open = false
    clearTimeout(this.#watchdog)
    this.#socket?.close()
  }

  async #enter(admission: Admission): Promise<void> {
    const entry = await admission.enter()
    if (!this.#open) return
    if ('protocols' in entry) {
      this.#connect(entry.protocols)
    } else {
      this.close()
      this.#events.onRefused(entry)
    }
  }

  #connect(protocols?: string[]): void {
    const socket =
      protocols === undefined ? new WebSocket(this.#url) : new WebSocket(this.#url, protocols)
    this.#socket = socket
    socket.onopen = () => {
      this.#accept()
    }
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      this.#restart()
      if (!this.#open) return
      this.#accept()
      // The server is of the same build and has validated the message.
      const message = JSON.parse(data) as ServerMessage
      if (message.type === 'error' && message.code === 'ticket_used') this.#admission?.discard()
      this.#events.onMessage(message)
    }
    socket.onclose = () => {
      this.#gone()
    }
  }

  #accept(): void {
    if (this.#wasAccepted) return
    this.#wasAccepted = true
    this.#admission?.opened()
  }

  #restart(): void {
    clearTimeout(this.#watchdog)
    if (!this.#open) return
    this.#watchdog = setTimeout(() => {
      if (this.#onSilent === undefined) this.#gone()
      else this.#onSilent()
    }, 1_000 * this.#silence)
  }

  #gone(): void {
    if (!this.#open) return
    const failed = !this.#wasAccepted && this.#socket !== undefined
    this.close()
    if (failed) void this.#admission?.failed()
    this.#events.onGone()
  }
}
