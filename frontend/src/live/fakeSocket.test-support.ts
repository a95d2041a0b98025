/** A WebSocket whose server is the test. For unit tests only. */

import { vi } from 'vitest'

import type { ServerMessage } from '../protocol.ts'

export class FakeSocket {
  static readonly OPEN = 1
  static all: FakeSocket[] = []

  readonly readyState = FakeSocket.OPEN
  readonly url: string
  readonly protocols: string[] | undefined
  bufferedAmount = 0
  /** What the page sent: a frame as its length in bytes, a text as it is. */
  sent: (string | number)[] = []
  closed = false
  onmessage: (event: { data: unknown }) => void = () => undefined
  onopen: () => void = () => undefined
  onclose: () => void = () => undefined

  constructor(url: string, protocols?: string[]) {
    this.url = url
    this.protocols = protocols
    FakeSocket.all.push(this)
  }

  send(data: string | ArrayBuffer): void {
    this.sent.push(typeof data === 'string' ? data : data.byteLength)
  }

  close(): void {
    this.closed = true
  }

  /** Delivers a message of the server. */
  receive(message: ServerMessage | { type: string }): void {
    this.onmessage({ data: JSON.stringify(message) })
  }

  static get last(): FakeSocket {
    const socket = FakeSocket.all.at(-1)
    if (socket === undefined) throw new Error('no socket was opened')
    return socket
  }

  /** Replaces the browser's WebSocket and the clock. */
  static install(): void {
    FakeSocket.all = []
    vi.stubGlobal('WebSocket', FakeSocket)
    vi.useFakeTimers({ now: 0 })
  }

  static uninstall(): void {
    vi.unstubAllGlobals()
    vi.useRealTimers()
  }
}
