/** What a socket shows before it opens, in an environment with accounts. */

import type { Problem } from '../shared/problem.ts'

/** The subprotocol with which the server answers. */
export const PROTOCOL = 'cloudscribe.v1'

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

/**
 * Returns what a socket shows that resumes a stream: the stream's token, in place of a ticket.
 *
 * @param admission gets a ticket to send beside the token; undefined for the token alone
 * @param isNeeded whether the socket is not tried without that ticket
 */
export function admitResume(
  token: string,
  admission: Admission | undefined,
  isNeeded: boolean,
): Admission {
  const shown = `resume.${token}`
  return {
    enter: async () => {
      const entry = await admission?.enter()
      if (entry === undefined) return { protocols: [PROTOCOL, shown] }
      if ('protocols' in entry) return { protocols: [...entry.protocols, shown] }
      return isNeeded ? entry : { protocols: [PROTOCOL, shown] }
    },
    opened: () => {
      admission?.opened()
    },
    failed: () => admission?.failed() ?? Promise.resolve(),
    discard: () => {
      admission?.discard()
    },
  }
}
