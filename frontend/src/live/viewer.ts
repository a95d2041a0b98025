import type { Problem } from '../shared/problem.ts'
import type {
  ErrorCode,
  Error as ErrorMessage,
  Final,
  Heartbeat,
  Partial,
  ServerMessage,
  Snapshot,
  Translation,
  TranslationStatus,
  Utterance,
} from '../protocol.ts'
import type { Admission } from './admission.ts'
import { Channel, type ChannelEvents } from './channel.ts'
import { toContinuedUrl } from './endpoints.ts'
import { Outage } from './outage.ts'
import { CONNECTION_LOST, describeError, isTransient } from './serverProblems.ts'
import { Reconnect } from './reconnect.ts'

/** The longest time without a message, in seconds: two and a half slow heartbeats. */
const SILENCE = 25
/** The same for a service that sends something every second. */
const SILENCE_OF_LINE = 3
/** How long another connection may take, while the first one is silent; in seconds. */
const SILENCE_OF_ATTEMPT = 8
/** A heartbeat so soon after another message shows such a service, in milliseconds. */
const QUICK = 5_000
/** A connection that lasted so long resets the back-off, in milliseconds. */
const STABLE = 3_000
/** Within so many seconds whoever misses messages opens a second connection. */
const SPREAD = 1

export type ViewerEvent =
  | { kind: 'connecting' }
  | { kind: 'live' }
  /** `since`: when the last message came, in milliseconds since 1970; undefined before the first. */
  | {
      kind: 'waiting'
      problem: Problem
      retryAt: number | undefined
      since: number | undefined
    }
  /** Without a code there is no ticket for the connection. */
  | { kind: 'ended'; problem: Problem; code: ErrorCode | undefined }
  | {
      kind: 'message'
      message: Snapshot | Partial | Final | Heartbeat | Translation | TranslationStatus
      /** A snapshot that leaves nothing out since the last message before it. */
      isContinued: boolean
    }
  /** A complete snapshot that followed an incomplete one. */
  | { kind: 'snapshot_completed'; utterances: Utterance[] }

interface Line {
  channel: Channel
  /** The position from which it was asked to go on. */
  since: string | undefined
  /** Its messages come fast enough to show soon that it is dead. */
  isWatched: boolean
}

/**
 * Receives a conversation, and reconnects for as long as the page is open, where that can help.
 *
 * Where the service gives positions, the next connection goes on from the last one, so that nothing
 * is missed. A line that is silent stays open until the next one is live.
 */
export class Viewer {
  readonly #url: string
  readonly #emit: (event: ViewerEvent) => void
  readonly #admission: Admission | undefined
  readonly #reconnect = new Reconnect(() => {
    this.#connect()
  })
  readonly #snapshotRetry = new Reconnect(() => {
    if (this.#owed === undefined) this.#requestSnapshot()
    else this.#connect()
  })
  readonly #outage = new Outage((interruption) => {
    this.#emit({ kind: 'waiting', ...interruption, since: this.#lastAt })
  })
  /** The connection that is live; it may be silent. */
  #current: Line | undefined
  /** The connection that has received nothing yet. */
  #next: Line | undefined
  #snapshotChannel: Channel | undefined
  #isSilent = false // `#current` has missed its messages
  #position: string | undefined
  /** The position that an incomplete snapshot did not continue. */
  #owed: string | undefined
  #lastAt: number | undefined
  #liveSince = 0

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
    this.#outage.end()
    this.#cancelSnapshot()
    this.#current?.channel.close()
    this.#next?.channel.close()
  }

  #connect(): void {
    this.#next?.channel.close()
    const since = this.#owed ?? this.#position
    if (since === undefined) this.#emit({ kind: 'connecting' })
    else this.#outage.noteAttempt()
    const events: ChannelEvents = {
      onMessage: (message) => {
        this.#receive(line, message)
      },
      onGone: () => {
        this.#forget(line)
        this.#lose(CONNECTION_LOST)
      },
      onRefused: ({ problem, isFinal }) => {
        this.#forget(line)
        if (isFinal) this.#end(problem, undefined)
        else this.#lose(problem)
      },
    }
    const url = since === undefined ? this.#url : toContinuedUrl(this.#url, since)
    const silence = since === undefined ? SILENCE : SILENCE_OF_ATTEMPT
    const line: Line = {
      channel: new Channel(url, silence, events, this.#admission),
      since,
      isWatched: false,
    }
    this.#next = line
  }

  #forget(line: Line): void {
    if (this.#current === line) this.#current = undefined
    if (this.#next === line) this.#next = undefined
  }

  #receive(line: Line, message: ServerMessage): void {
    switch (message.type) {
      case 'snapshot':
      case 'partial':
      case 'final':
      case 'heartbeat':
      case 'translation':
      case 'translation_status':
        this.#markLive(line)
        this.#notePosition(line, message)
        this.#emit({ kind: 'message', message, isContinued: isContinued(line, message) })
        if (message.type === 'snapshot') this.#complete(line, message)
        break
      case 'error':
        this.#handleError(line, message)
        break
      case 'ready':
      case 'ack':
      case 'closed':
        break // Only speakers get these.
    }
  }

  /** Takes over to a connection that has received something. */
  #markLive(line: Line): void {
    const isNew = line !== this.#current
    if (isNew) {
      this.#current?.channel.close()
      this.#current = line
      this.#next = undefined
      this.#watch(line, SILENCE)
    } else if (this.#isSilent) {
      // It speaks again, so the second one is not needed.
      this.#next?.channel.close()
      this.#next = undefined
    } else {
      return
    }
    this.#isSilent = false
    this.#liveSince = Date.now()
    this.#reconnect.cancel()
    if (this.#position === undefined) this.#reconnect.reset()
    this.#outage.end()
    this.#emit({ kind: 'live' })
  }

  #notePosition(line: Line, message: ServerMessage): void {
    const before = this.#lastAt
    this.#lastAt = Date.now()
    const position = 'position' in message ? message.position : undefined
    if (position !== undefined && this.#owed === undefined) this.#position = position
    const isQuick =
      message.type === 'heartbeat' && before !== undefined && this.#lastAt - before < QUICK
    if (!line.isWatched && (position !== undefined || isQuick)) {
      line.isWatched = true
      this.#watch(line, SILENCE_OF_LINE)
    }
  }

  #watch(line: Line, silence: number): void {
    line.channel.watch(silence, () => {
      this.#isSilent = true
      this.#lose(CONNECTION_LOST, undefined, SPREAD)
    })
  }

  /** Asks again for what a snapshot could not have, until one is complete. */
  #complete({ since }: Line, { complete, more }: Snapshot): void {
    if (complete) {
      if (!more) this.#owed = undefined
      if (!more && since !== undefined) this.#cancelSnapshot()
    } else if (since === undefined) {
      this.#requestSnapshot()
    } else {
      this.#owed = since
      this.#position = since
      this.#snapshotRetry.schedule()
    }
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

  #handleError(line: Line, error: ErrorMessage): void {
    const isReplaced = line === this.#current && this.#next !== undefined
    line.channel.close()
    this.#forget(line)
    if (isReplaced) return // the newer connection goes on
    const problem = describeError(error)
    if (isTransient(error)) this.#lose(problem, error.retryAfter)
    else this.#end(problem, error.code)
  }

  #end(problem: Problem, code: ErrorCode | undefined): void {
    this.close()
    this.#emit({ kind: 'ended', problem, code })
  }

  /**
   * Connects again.
   *
   * @param spread the first attempt begins at a random moment of so many seconds
   */
  #lose(problem: Problem, retryAfter?: number, spread = 0): void {
    if (this.#next !== undefined || this.#reconnect.isPending) return
    if (this.#current !== undefined && !this.#isSilent) {
      // Only the second connection is lost, which was to complete the first one's snapshot.
      if (this.#owed !== undefined) this.#snapshotRetry.schedule(retryAfter)
      return
    }
    const continues = this.#position !== undefined
    if (continues && Date.now() - this.#liveSince > STABLE) this.#reconnect.reset()
    // The next connection begins with a snapshot of its own.
    this.#cancelSnapshot()
    const isFirst = continues && this.#reconnect.attempts === 0 && retryAfter === undefined
    const retryAt = isFirst
      ? this.#reconnect.scheduleWithin(spread)
      : this.#reconnect.schedule(retryAfter)
    const lasts = !continues || this.#isSilent || problem !== CONNECTION_LOST
    this.#outage.update({ problem, retryAt }, lasts)
  }
}

function isContinued({ since }: Line, message: ServerMessage): boolean {
  // A service of before ignores the position, and does not say whether there is a gap.
  return message.type === 'snapshot' && since !== undefined && (message.gap as unknown) === false
}
