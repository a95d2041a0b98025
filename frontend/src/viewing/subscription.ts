import type { Dispatch } from '@reduxjs/toolkit'

import { messageReceived, snapshotCompleted } from '../conversation/conversationSlice.ts'
import { forgetLanguage } from '../language/chosenLanguage.ts'
import { languageChosen, languageRefused } from '../language/languageSlice.ts'
import type { Admission } from '../live/admission.ts'
import { buildViewerUrl } from '../live/endpoints.ts'
import { Viewer, type ViewerEvent } from '../live/viewer.ts'
import { viewingSlice } from './viewingSlice.ts'

const { connecting, live, waiting, ended } = viewingSlice.actions

/** Subscribes to a conversation in the chosen language, and dispatches what the server sends. */
export class Subscription {
  readonly #origin: string
  readonly #conversation: string
  readonly #dispatch: Dispatch
  readonly #admission: Admission | undefined
  #viewer: Viewer | undefined

  /** @param admission gets tickets; undefined in an open environment */
  constructor(origin: string, conversation: string, dispatch: Dispatch, admission?: Admission) {
    this.#origin = origin
    this.#conversation = conversation
    this.#dispatch = dispatch
    this.#admission = admission
  }

  /**
   * Subscribes in a language, with a new connection. Where the server does not offer the language,
   * subscribes to the originals and records the refusal.
   *
   * @param language undefined for the originals
   */
  read(language: string | undefined): void {
    this.#viewer?.close()
    this.#dispatch(languageChosen(language))
    const url = buildViewerUrl(this.#origin, this.#conversation, language)
    const handle = (event: ViewerEvent) => {
      switch (event.kind) {
        case 'connecting':
          this.#dispatch(connecting())
          break
        case 'live':
          this.#dispatch(live())
          break
        case 'waiting':
          this.#dispatch(
            waiting({ problem: event.problem, retryAt: event.retryAt, since: event.since }),
          )
          break
        case 'ended':
          if (event.code === 'unsupported_language' && language !== undefined) {
            this.refuse(language)
          } else {
            this.#dispatch(ended(event.problem))
          }
          break
        case 'message':
          this.#dispatch(
            messageReceived({
              message: event.message,
              source: 'viewer',
              now: Date.now(),
              isContinued: event.isContinued,
            }),
          )
          break
        case 'snapshot_completed':
          this.#dispatch(snapshotCompleted(event.utterances))
          break
      }
    }
    this.#viewer = new Viewer(url, handle, this.#admission)
    this.#viewer.open()
  }

  /** Subscribes to the originals, because the server does not offer `language`. */
  refuse(language: string): void {
    forgetLanguage(language)
    this.read(undefined)
    this.#dispatch(languageRefused(language))
  }

  /** Ends the subscription; nothing is dispatched any more. */
  close(): void {
    this.#viewer?.close()
  }

  /** Makes a pending attempt to connect now. */
  retryNow(): void {
    this.#viewer?.retryNow()
  }
}
