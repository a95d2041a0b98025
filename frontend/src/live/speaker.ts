import type { Problem } from '../shared/problem.ts'
import { toSeconds } from '../audio/pcm.ts'
import type {
  Closed,
  Error as ErrorMessage,
  Final,
  Partial,
  Ready,
  ServerMessage,
  Stop,
} from '../protocol.ts'
import { type Admission, admitResume, type Refusal } from './admission.ts'
import { Channel, type ChannelEvents } from './channel.ts'
import { toResumeUrl } from './endpoints.ts'
import { Outage } from './outage.ts'
import { OutgoingAudio } from './outgoingAudio.ts'
import {
  CONNECTION_LOST,
  describeClose,
  describeError,
  isTransient,
  NO_SOUND,
  SERVER_UNREACHABLE,
  STOP_UNCONFIRMED,
  WORDS_KEPT,
} from './serverProblems.ts'
import { Reconnect } from './reconnect.ts'

/** The longest time without a message, in seconds, where the service cannot resume. */
const SILENCE = 12
/** The same where it can: it sends a message every second. */
const SILENCE_OF_LINE = 3
/** How long an attempt to resume may take, in seconds. */
const SILENCE_OF_ATTEMPT = 8
/** Within so many seconds whoever misses messages opens a second connection. */
const SPREAD = 1
/** The bound of the socket's own buffer, in seconds of audio. */
const MOST_BUFFERED = 2
/** How often the rest of the audio is sent after the last frame, in milliseconds. */
const DRAIN_INTERVAL = 50
/** Frames between two reports of the progress. */
const FRAMES_PER_REPORT = 10
/** A connection that lasted so long resets the back-off, in milliseconds. */
const STABLE = 10_000
/** The same for a stream that can be resumed: some networks end connections after 30 s. */
const STABLE_LINE = 3_000
/** Attempts before a stream that cannot be resumed ends with a problem, about 45 seconds. */
const MOST_ATTEMPTS = 8
/** From this attempt on, every other one shows a ticket too: the service may be of before. */
const ATTEMPTS_WITHOUT_TICKET = 3
/** How long the last words are offered to the service after the stop, in milliseconds. */
const MOST_PATIENCE = 600_000

export type SpeakerEvent =
  | { kind: 'connecting' }
  /** `isAnew`: what was not final is recognised again, under other ids. */
  | { kind: 'listening'; ready: Ready; isAnew: boolean }
  | { kind: 'waiting'; problem: Problem; retryAt: number }
  /** The line is down for a while, and all audio is kept. */
  | { kind: 'reconnecting'; problem: Problem; retryAt: number | undefined }
  /**
   * The captions' delay behind the microphone, the audio kept, and the audio lost so far; all in
   * seconds. `isFull`: no more can be kept.
   */
  | { kind: 'progress'; lag: number; kept: number; lost: number; isFull: boolean }
  | { kind: 'message'; message: Partial | Final }
  | { kind: 'ended'; problem: Problem | undefined }

type State = 'idle' | 'connecting' | 'listening' | 'waiting' | 'ended'

interface Line {
  channel: Channel
  /** It asked to resume a stream. */
  isResume: boolean
}

/**
 * Streams one speaker's audio to the server over one connection after the other.
 *
 * Where the service resumes streams, all audio is kept until it is durable, and goes on over the
 * next connection from where the service needs it. A line that is silent stays open until the next
 * one is ready. Elsewhere audio that cannot be sent yet is queued, so that neither the first words
 * nor those during a short interruption are lost.
 *
 * Before the first `ready` nothing is queued while the server has no free slot: the page then shows
 * that it does not listen.
 */
export class Speaker {
  readonly #url: string
  readonly #emit: (event: SpeakerEvent) => void
  readonly #admission: Admission | undefined
  readonly #audio = new OutgoingAudio()
  readonly #reconnect = new Reconnect(() => {
    this.#connect()
  })
  readonly #outage = new Outage((interruption) => {
    this.#reportProgress()
    this.#emit({ kind: 'reconnecting', ...interruption })
  })
  /** The connection over which audio goes; it may be silent. */
  #current: Line | undefined
  /** The connection that is not ready yet. */
  #next: Line | undefined
  #ready: Ready | undefined // the newest one
  #token: string | undefined // resumes the stream
  #attempt = 0 // of the stream's newest connection
  #isSilent = false // `#current` has missed its messages
  #drain: ReturnType<typeof setInterval> | undefined
  #patience: ReturnType<typeof setTimeout> | undefined
  #state: State = 'idle'
  #stopping: 'no' | 'asked' | 'sent' = 'no'
  #wasReady = false // from the first `ready` on, dropped audio counts as lost
  #hadUsedTicket = false // the server refused a ticket as used since the last `ready`
  #needsTicket = false // the token alone does not do any more
  #awaitsSlot = false // waiting for a slot rather than for the network
  #awaitsAudio = false // the server waits for the microphone
  #listeningSince = 0
  #serverLag = 0
  #frames = 0

  /** @param admission gets tickets; undefined in an open environment */
  constructor(url: string, emit: (event: SpeakerEvent) => void, admission?: Admission) {
    this.#url = url
    this.#emit = emit
    this.#admission = admission
  }

  open(): void {
    this.#connect()
  }

  /**
   * Queues one frame of s16le and sends what the server and the network accept.
   *
   * @param captured when it was recorded, in milliseconds since 1970
   */
  send(frame: ArrayBuffer, captured = Date.now()): void {
    if (this.#state === 'ended') return
    this.#audio.push(frame, captured)
    if (this.#awaitsSlot) this.#audio.clear(this.#wasReady)
    this.#goOnWithAudio()
    this.#frames += 1
    if (this.#frames % FRAMES_PER_REPORT === 0) this.#reportProgress()
    this.#pump()
  }

  /**
   * Ends the stream: sends the rest, receives the last finals, then emits `ended`. A stream that
   * can be resumed goes on until then, whatever becomes of the line.
   */
  stop(): void {
    if (this.#stopping !== 'no' || this.#state === 'ended') return
    this.#stopping = 'asked'
    if (this.#audio.resumes) {
      this.#patience = setTimeout(() => {
        this.giveUp()
      }, MOST_PATIENCE)
    } else if (this.#state === 'waiting') {
      this.#audio.clear(this.#wasReady)
      this.#end(undefined)
      return
    }
    this.#drain = setInterval(() => {
      this.#pump()
    }, DRAIN_INTERVAL)
    this.#goOnWithAudio()
    this.#pump()
  }

  /** Sends the rest and the stop at once, because the page goes away, and waits for nothing. */
  leave(): void {
    const line = this.#current
    if (line === undefined || this.#state === 'ended' || this.#stopping === 'sent') return
    for (let next = this.#audio.take(true); next !== undefined; next = this.#audio.take(true)) {
      line.channel.send(next instanceof ArrayBuffer ? next : JSON.stringify(next))
    }
    this.#sendStop(line)
  }

  /** Ends without the last finals; audio that the server does not have is lost. */
  giveUp(): void {
    if (this.#state !== 'ended') this.#end(STOP_UNCONFIRMED)
  }

  /** Ends at once. Nothing is emitted any more. */
  abandon(): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#reconnect.cancel()
    this.#outage.end()
    clearInterval(this.#drain)
    clearTimeout(this.#patience)
    this.#current?.channel.close()
    this.#next?.channel.close()
  }

  /** Makes a pending attempt to connect now. */
  retryNow(): void {
    this.#reconnect.hasten()
  }

  #connect(): void {
    this.#next?.channel.close()
    if (this.#audio.resumes) {
      this.#outage.noteAttempt()
    } else {
      this.#state = 'connecting'
      this.#awaitsSlot = false
      this.#serverLag = 0
      this.#emit({ kind: 'connecting' })
    }
    const events: ChannelEvents = {
      onMessage: (message) => {
        this.#receive(line, message)
      },
      onGone: () => {
        this.#forget(line)
        this.#handleInterruption(CONNECTION_LOST)
      },
      onRefused: (refusal) => {
        this.#forget(line)
        this.#handleRefusal(refusal)
      },
    }
    const line =
      this.#token === undefined ? this.#openFirst(events) : this.#openResume(events, this.#token)
    this.#next = line
  }

  #openFirst(events: ChannelEvents): Line {
    return { isResume: false, channel: new Channel(this.#url, SILENCE, events, this.#admission) }
  }

  #openResume(events: ChannelEvents, token: string): Line {
    this.#attempt += 1
    const { attempts } = this.#reconnect
    const mayHelp = attempts >= ATTEMPTS_WITHOUT_TICKET && attempts % 2 === 1
    const tickets = this.#needsTicket || mayHelp ? this.#admission : undefined
    const admission = admitResume(token, tickets, this.#needsTicket)
    const url = toResumeUrl(this.#url, this.#attempt)
    return { isResume: true, channel: new Channel(url, SILENCE_OF_ATTEMPT, events, admission) }
  }

  #forget(line: Line): void {
    if (this.#current === line) this.#current = undefined
    if (this.#next === line) this.#next = undefined
  }

  #receive(line: Line, message: ServerMessage): void {
    this.#audio.noteAnswer()
    if (line === this.#current && this.#isSilent && message.type !== 'error') this.#revive()
    switch (message.type) {
      case 'ready':
        this.#handleReady(line, message)
        break
      case 'partial':
      case 'final':
        this.#emit({ kind: 'message', message })
        break
      case 'ack':
        this.#serverLag = message.lag
        this.#audio.acknowledge(message.received, message.durable)
        this.#reportProgress()
        this.#pump()
        break
      case 'closed':
        this.#handleClose(line, message)
        break
      case 'error':
        this.#handleError(line, message)
        break
      case 'snapshot':
      case 'heartbeat':
      case 'translation':
      case 'translation_status':
        break // Only viewers get these.
    }
  }

  #handleReady(line: Line, ready: Ready): void {
    this.#current?.channel.close()
    this.#current = line
    this.#next = undefined
    this.#reconnect.cancel()
    const { resumeToken, resumeFrom } = ready
    const wasKept = this.#audio.resumes
    const isResumed = line.isResume && resumeToken !== undefined && resumeFrom !== undefined
    if (line.isResume && !isResumed) this.#audio.forgetStream() // a service of before
    if (!isResumed) this.#attempt = 0
    const isAnew = isResumed ? this.#audio.isBehind(resumeFrom) : wasKept
    const follows = isResumed
      ? this.#audio.resume(resumeFrom)
      : this.#audio.begin(resumeToken !== undefined)
    this.#token = resumeToken
    if (resumeToken !== undefined) {
      line.channel.watch(SILENCE_OF_LINE, () => {
        this.#handleSilence()
      })
      line.channel.send(JSON.stringify(follows))
    }
    if (this.#stopping === 'sent') this.#stopping = 'asked'
    this.#wasReady = true
    this.#hadUsedTicket = false
    this.#needsTicket = false
    this.#serverLag = 0
    this.#listen(ready, isAnew)
    this.#pump()
  }

  #listen(ready: Ready, isAnew: boolean): void {
    this.#ready = ready
    this.#state = 'listening'
    this.#isSilent = false
    this.#listeningSince = Date.now()
    this.#outage.end()
    this.#emit({ kind: 'listening', ready, isAnew })
  }

  /** Opens a second connection; the silent one stays until that is ready. */
  #handleSilence(): void {
    this.#isSilent = true
    this.#lose(CONNECTION_LOST, undefined, SPREAD)
  }

  /** Keeps the connection that was silent, because it speaks again, and drops the second one. */
  #revive(): void {
    this.#reconnect.cancel()
    this.#next?.channel.close()
    this.#next = undefined
    if (this.#ready !== undefined) this.#listen(this.#ready, false)
  }

  /** Sends as much as the network takes; after the very last frame, the stop. */
  #pump(): void {
    const line = this.#current
    if (line === undefined || this.#stopping === 'sent') return
    if (this.#audio.hasHole && !this.#isSilent) {
      // Audio that was not sent is not kept any more; only the next connection can leave it out.
      line.channel.close()
      this.#forget(line)
      this.#lose(CONNECTION_LOST)
      return
    }
    while (toSeconds(line.channel.bufferedAmount) < MOST_BUFFERED) {
      const next = this.#audio.take()
      if (next === undefined) break
      line.channel.send(next instanceof ArrayBuffer ? next : JSON.stringify(next))
    }
    if (this.#stopping === 'asked' && this.#audio.unsent === 0) this.#sendStop(line)
  }

  #sendStop({ channel }: Line): void {
    this.#stopping = 'sent'
    channel.send(JSON.stringify({ type: 'stop' } satisfies Stop))
  }

  /** Ends a wait for the microphone. */
  #goOnWithAudio(): void {
    if (!this.#awaitsAudio) return
    this.#awaitsAudio = false
    this.#lose(CONNECTION_LOST)
  }

  #reportProgress(): void {
    const { unsent, kept, lost, isFull } = this.#audio
    const buffered = toSeconds(this.#current?.channel.bufferedAmount ?? 0)
    const lag = this.#serverLag + unsent + buffered
    this.#emit({ kind: 'progress', lag, kept, lost, isFull })
  }

  #handleClose(line: Line, { reason, duration }: Closed): void {
    line.channel.close()
    this.#forget(line)
    if (reason === 'draining' && this.#stopping === 'no') {
      this.#wait(CONNECTION_LOST)
    } else {
      this.#end(describeClose(reason, duration))
    }
  }

  #handleError(line: Line, error: ErrorMessage): void {
    const isReplaced = line === this.#current && this.#next !== undefined
    line.channel.close()
    this.#forget(line)
    if (isReplaced) return // the stream goes on over the newer connection
    const keeps = this.#audio.resumes
    if (error.code === 'resume_refused' && line.isResume) {
      this.#audio.forgetStream()
      this.#beginAnew()
    } else if (error.code === 'idle_timeout' && keeps && this.#stopping === 'no') {
      this.#awaitsAudio = true
      this.#state = 'waiting'
      this.#outage.update({ problem: NO_SOUND, retryAt: undefined }, true)
    } else if (!isTransient(error)) {
      this.#end(describeError(error))
    } else if (
      error.code === 'ticket_used' &&
      !this.#hadUsedTicket &&
      (keeps || this.#stopping === 'no')
    ) {
      // One new ticket at once; if that is refused, too, the attempts get a distance.
      this.#hadUsedTicket = true
      this.#needsTicket = this.#token !== undefined
      this.#connect()
    } else if (error.code === 'at_capacity' && !keeps && this.#stopping === 'no') {
      this.#awaitsSlot = true
      this.#audio.clear(this.#wasReady)
      this.#wait(describeError(error), error.retryAfter)
    } else if (error.code === 'moved' && keeps) {
      this.#lose(CONNECTION_LOST)
    } else {
      this.#handleInterruption(describeError(error), error.retryAfter)
    }
  }

  #handleRefusal({ problem, isFinal }: Refusal): void {
    if (!isFinal) {
      this.#handleInterruption(problem)
      return
    }
    this.#audio.clear(this.#wasReady)
    this.#end(problem)
  }

  /** Begins another stream with the audio that is left; ends where there is none. */
  #beginAnew(): void {
    this.#token = undefined
    if (this.#stopping !== 'no' && this.#audio.unsent === 0) this.#end(undefined)
    else this.#lose(CONNECTION_LOST)
  }

  #handleInterruption(problem: Problem, retryAfter?: number): void {
    if (this.#audio.resumes) {
      this.#lose(problem, retryAfter)
      return
    }
    if (this.#state === 'listening' && Date.now() - this.#listeningSince > STABLE) {
      this.#reconnect.reset()
    }
    if (this.#stopping !== 'no') {
      this.#audio.clear(this.#wasReady)
      this.#end(STOP_UNCONFIRMED)
    } else if (this.#reconnect.attempts >= MOST_ATTEMPTS) {
      this.#audio.clear(this.#wasReady)
      this.#end(problem === CONNECTION_LOST ? SERVER_UNREACHABLE : problem)
    } else {
      this.#wait(problem, retryAfter)
    }
  }

  #wait(problem: Problem, retryAfter?: number): void {
    this.#state = 'waiting'
    this.#emit({ kind: 'waiting', problem, retryAt: this.#reconnect.schedule(retryAfter) })
  }

  /**
   * Connects again for as long as it takes, and keeps all audio meanwhile.
   *
   * @param spread the first attempt begins at a random moment of so many seconds
   */
  #lose(problem: Problem, retryAfter?: number, spread = 0): void {
    if (this.#next !== undefined || this.#reconnect.isPending) return
    if (this.#state === 'listening' && Date.now() - this.#listeningSince > STABLE_LINE) {
      this.#reconnect.reset()
    }
    this.#state = 'waiting'
    const isFirst = this.#reconnect.attempts === 0 && retryAfter === undefined
    const retryAt = isFirst
      ? this.#reconnect.scheduleWithin(spread)
      : this.#reconnect.schedule(retryAfter)
    const isLost = problem === CONNECTION_LOST
    const shown = isLost && this.#stopping === 'no' ? WORDS_KEPT : problem
    this.#outage.update({ problem: shown, retryAt }, this.#isSilent || !isLost)
  }

  #end(problem: Problem | undefined): void {
    if (problem !== undefined && this.#audio.resumes) this.#audio.clear(true)
    this.#reportProgress()
    this.abandon()
    this.#emit({ kind: 'ended', problem })
  }
}
