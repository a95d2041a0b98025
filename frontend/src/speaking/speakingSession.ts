import type { Dispatch } from '@reduxjs/toolkit'

import { listMicrophones } from '../audio/devices.ts'
import { Microphone } from '../audio/microphone.ts'
import { faultOf, microphoneProblem } from '../audio/microphoneProblems.ts'
import type { Problem } from '../shared/problem.ts'
import { messageReceived, ownStreamEnded } from '../conversation/conversationSlice.ts'
import { Speaker, type SpeakerEvent } from '../live/speaker.ts'
import { SilenceDetector } from './loudness.ts'
import { microphonesSlice } from './microphonesSlice.ts'
import { speakingSlice } from './speakingSlice.ts'

const { asked, connecting, listening, waiting, progressed, silenceChanged, stopping, ended } =
  speakingSlice.actions

/**
 * One press of Start until its end: opens the microphone, brings its sound to the server, and
 * lets the microphone go whatever happens.
 */
export class SpeakingSession {
  readonly #dispatch: Dispatch
  readonly #onLevel: (level: number) => void
  readonly #speaker: Speaker
  #silence = new SilenceDetector()
  #silent = false
  #microphone: Microphone | undefined
  #switched: Promise<void> = Promise.resolve()
  #opened = false // the server was called
  #stopping = false
  #over = false
  /** Why the session is being stopped, if not because the user asked. */
  #reason: Problem | undefined

  /** @param onLevel takes the RMS of every 100 ms, and 0 at the end */
  constructor(url: string, dispatch: Dispatch, onLevel: (level: number) => void) {
    this.#dispatch = dispatch
    this.#onLevel = onLevel
    this.#speaker = new Speaker(url, (event) => {
      this.#follow(event)
    })
  }

  /** True when nothing more will happen. */
  get over(): boolean {
    return this.#over
  }

  async start(deviceId: string): Promise<void> {
    this.#dispatch(asked())
    const microphone = await this.#open(deviceId)
    if (microphone === undefined) return
    void listMicrophones().then((devices) => {
      // Their names are told only now.
      this.#dispatch(microphonesSlice.actions.listed(devices))
    })
    this.#opened = true
    this.#speaker.open()
  }

  /** Ends in order: the last sound is sent, the last words come back. */
  async stop(reason?: Problem): Promise<void> {
    this.#reason ??= reason
    await this.#switched
    if (this.#over) return
    if (this.#microphone === undefined) {
      // Still asking for permission: there is nothing to send.
      if (!this.#stopping) this.#end(this.#reason)
      return
    }
    await this.#closeMicrophone()
    this.#finish()
  }

  /** Goes on with another microphone, in the same stream. */
  switchTo(deviceId: string): Promise<void> {
    // One after the other, however fast they are chosen.
    this.#switched = this.#switched.then(async () => {
      if (this.#microphone === undefined || this.#over) return
      await this.#closeMicrophone()
      await this.#open(deviceId)
    })
    return this.#switched
  }

  retryNow(): void {
    this.#speaker.retryNow()
  }

  async #open(deviceId: string): Promise<Microphone | undefined> {
    this.#silence = new SilenceDetector()
    try {
      const microphone = await Microphone.open(deviceId, {
        onFrame: (pcm, level) => {
          this.#hear(pcm, level)
        },
        onLost: () => {
          void this.stop(microphoneProblem('unplugged'))
        },
      })
      if (!this.#over) return (this.#microphone = microphone)
      await microphone.close()
    } catch (error) {
      this.#reason ??= microphoneProblem(faultOf(error))
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

  /** No more sound comes. If the server has messageReceived any, it still owes the last words. */
  #finish(): void {
    if (this.#over) return
    if (!this.#opened) {
      this.#end(this.#reason)
      return
    }
    this.#stopping = true
    this.#dispatch(stopping())
    this.#speaker.stop()
  }

  #hear(pcm: ArrayBuffer, level: number): void {
    if (this.#over) return
    this.#onLevel(level)
    const silent = this.#silence.hear(level)
    if (silent !== this.#silent) this.#dispatch(silenceChanged((this.#silent = silent)))
    this.#speaker.send(pcm)
  }

  #follow(event: SpeakerEvent): void {
    switch (event.kind) {
      case 'connecting':
        this.#dispatch(connecting())
        break
      case 'listening':
        this.#dispatch(listening(event.ready))
        break
      case 'waiting':
        this.#dispatch(ownStreamEnded())
        this.#dispatch(waiting({ problem: event.problem, retryAt: event.retryAt }))
        break
      case 'progress':
        this.#dispatch(progressed({ lag: event.lag, lost: event.lost }))
        break
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
    if (this.#over) return
    this.#over = true
    this.#speaker.abandon()
    void this.#microphone?.close()
    this.#microphone = undefined
    this.#onLevel(0)
    this.#dispatch(ownStreamEnded())
    this.#dispatch(ended(problem))
  }
}
