import type { Dispatch } from '@reduxjs/toolkit'

import { listMicrophones } from '../audio/devices.ts'
import { Microphone } from '../audio/microphone.ts'
import { toMicrophoneFault, describeFault } from '../audio/microphoneProblems.ts'
import type { Problem } from '../shared/problem.ts'
import { messageReceived, ownStreamEnded } from '../conversation/conversationSlice.ts'
import type { Admission } from '../live/admission.ts'
import { Speaker, type SpeakerEvent } from '../live/speaker.ts'
import { SilenceDetector } from './loudness.ts'
import { microphonesSlice } from './microphonesSlice.ts'
import { speakingSlice } from './speakingSlice.ts'

const {
  permissionRequested,
  connecting,
  listening,
  waiting,
  reconnecting,
  progressed,
  silenceChanged,
  stopping,
  ended,
} = speakingSlice.actions

/**
 * One session of speaking, from Start to its end: opens the microphone, streams its audio to the
 * server, and always releases the microphone.
 */
export class SpeakingSession {
  readonly #dispatch: Dispatch
  readonly #onLevel: (level: number) => void
  readonly #speaker: Speaker
  #silence = new SilenceDetector()
  #silent = false
  #microphone: Microphone | undefined
  #switched: Promise<void> = Promise.resolve()
  #wasOpened = false // the speaker has connected to the server
  #stopping = false
  #isOver = false
  /** The problem that stops the session; undefined where the user stops it. */
  #reason: Problem | undefined

  /**
   * @param onLevel gets the RMS of every 100 ms, and 0 at the end
   * @param admission gets tickets; undefined in an open environment
   */
  constructor(
    url: string,
    dispatch: Dispatch,
    onLevel: (level: number) => void,
    admission: Admission | undefined,
  ) {
    this.#dispatch = dispatch
    this.#onLevel = onLevel
    const handle = (event: SpeakerEvent) => {
      this.#handleEvent(event)
    }
    this.#speaker = new Speaker(url, handle, admission)
  }

  /** Whether the session has ended. */
  get isOver(): boolean {
    return this.#isOver
  }

  async start(deviceId: string): Promise<void> {
    this.#dispatch(permissionRequested())
    const microphone = await this.#open(deviceId)
    if (microphone === undefined) return
    void listMicrophones().then((devices) => {
      // Browsers list their names only with permission.
      this.#dispatch(microphonesSlice.actions.listed(devices))
    })
    this.#wasOpened = true
    this.#speaker.open()
  }

  /** Ends the session: sends the rest of the audio and receives the last finals. */
  async stop(reason?: Problem): Promise<void> {
    this.#reason ??= reason
    await this.#switched
    if (this.#isOver) return
    if (this.#microphone === undefined) {
      // The browser still asks for permission: there is nothing to send.
      if (!this.#stopping) this.#end(this.#reason)
      return
    }
    await this.#closeMicrophone()
    this.#finish()
  }

  /** Continues the same stream with another microphone. */
  switchTo(deviceId: string): Promise<void> {
    // Switches run one after the other, however fast the user chooses.
    this.#switched = this.#switched.then(async () => {
      if (this.#microphone === undefined || this.#isOver) return
      await this.#closeMicrophone()
      await this.#open(deviceId)
    })
    return this.#switched
  }

  retryNow(): void {
    this.#speaker.retryNow()
  }

  /** Ends a session that is stopping, without the last words. */
  giveUp(): void {
    if (this.#stopping) this.#speaker.giveUp()
  }

  /** Ends the audio at once, because the page goes away. */
  leave(): void {
    if (this.#isOver || !this.#wasOpened) return
    this.#stopping = true
    this.#dispatch(stopping())
    this.#speaker.leave()
    void this.#closeMicrophone()
  }

  async #open(deviceId: string): Promise<Microphone | undefined> {
    this.#silence = new SilenceDetector()
    try {
      const microphone = await Microphone.open(deviceId, {
        onFrame: (pcm, level, captured) => {
          this.#sendFrame(pcm, level, captured)
        },
        onLost: () => {
          void this.stop(describeFault('unplugged'))
        },
      })
      if (!this.#isOver) return (this.#microphone = microphone)
      await microphone.close()
    } catch (error) {
      this.#reason ??= describeFault(toMicrophoneFault(error))
      this.#finish()
    }
    return undefined
  }

  async #closeMicrophone(): Promise<void> {
    const microphone = this.#microphone
    this.#microphone = undefined
    await microphone?.close()
    this.#onLevel(0)
  }

  /** Ends the stream after the last frame; if it was opened, the last finals are still to come. */
  #finish(): void {
    if (this.#isOver) return
    if (!this.#wasOpened) {
      this.#end(this.#reason)
      return
    }
    this.#stopping = true
    this.#dispatch(stopping())
    this.#speaker.stop()
  }

  #sendFrame(pcm: ArrayBuffer, level: number, captured: number): void {
    if (this.#isOver) return
    this.#onLevel(level)
    const silent = this.#silence.push(level)
    if (silent !== this.#silent) this.#dispatch(silenceChanged((this.#silent = silent)))
    this.#speaker.send(pcm, captured)
  }

  #handleEvent(event: SpeakerEvent): void {
    switch (event.kind) {
      case 'connecting':
        this.#dispatch(connecting())
        break
      case 'listening':
        if (event.isAnew) this.#dispatch(ownStreamEnded())
        this.#dispatch(listening(event.ready))
        break
      case 'waiting':
        this.#dispatch(ownStreamEnded())
        this.#dispatch(waiting({ problem: event.problem, retryAt: event.retryAt }))
        break
      case 'reconnecting':
        this.#dispatch(ownStreamEnded())
        this.#dispatch(reconnecting({ problem: event.problem, retryAt: event.retryAt }))
        break
      case 'progress': {
        const { lag, kept, lost, isFull } = event
        this.#dispatch(progressed({ lag, kept, lost, isFull }))
        break
      }
      case 'message':
        this.#dispatch(
          messageReceived({ message: event.message, source: 'speaker', now: Date.now() }),
        )
        break
      case 'ended':
        this.#end(this.#reason ?? event.problem)
        break
    }
  }

  #end(problem: Problem | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#speaker.abandon()
    void this.#microphone?.close()
    this.#microphone = undefined
    this.#onLevel(0)
    this.#dispatch(ownStreamEnded())
    this.#dispatch(ended(problem))
  }
}
