/** The language in which captions are read: what is offered, and what the user chose. */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import type { Offer } from './offer.ts'

export interface LanguageState {
  /** A BCP 47 tag; undefined shows the originals. */
  chosen?: string | undefined
  /** BCP 47 tags of the target languages; empty until the server has answered. */
  offered: string[]
  /** The server's translator only marks the text. */
  isStandIn: boolean
  /** A language that was asked for and that the server does not offer. */
  refused?: string | undefined
}

const initialState: LanguageState = { offered: [], isStandIn: false }

export const languageSlice = createSlice({
  name: 'language',
  initialState,
  reducers: {
    languagesOffered(state, { payload }: PayloadAction<Offer>) {
      state.offered = payload.translation
      state.isStandIn = payload.translator === 'pseudo'
    },
    languageChosen(state, { payload }: PayloadAction<string | undefined>) {
      state.chosen = payload
      state.refused = undefined
    },
    languageRefused(state, { payload }: PayloadAction<string>) {
      state.refused = payload
    },
  },
})

export const { languagesOffered, languageChosen, languageRefused } = languageSlice.actions
interface Root {
  language: LanguageState
}

export const selectLanguages = ({ language }: Root) => language
export const selectLanguage = ({ language }: Root) => language.chosen
