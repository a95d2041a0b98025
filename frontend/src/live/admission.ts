/** What a socket shows before it opens, in an environment with accounts. */

import type { Problem } from '../shared/problem.ts'

/** There is no ticket for the socket. */
export interface Refusal {
  problem: Problem
  /** Trying again cannot help. */
  isFinal: boolean
}

export type Entry = { protocols: string[] } | Refusal

/** Gives sockets of one kind their tickets. Without one, an environment is open. */
export interface Admission {
  /** Returns the subprotocols of the next socket, or why there is none. */
  enter: () => Promise<Entry>
  /** The server has accepted the socket. */
  opened: () => void
  /**
   * The socket failed before it opened. Browsers do not say why, so this finds out whether the
   * ticket was the reason.
   */
  failed: () => Promise<void>
  /** The server says that the ticket was used before. */
  discard: () => void
}
