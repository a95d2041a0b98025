/** The language that is spoken at this page, of those that the engine recognises; its note. */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import { chooseSpokenLanguage } from './spokenLanguage.ts'

export interface SpokenLanguageState {
  /** BCP 47 tags; empty where the engine takes any, and until the server has answered. */
  offered: string[]
  /** Undefined leaves the choice to the server. */
  chosen?: string | undefined
  /** What users should know of the engine's results; empty for nothing. */
  note: string
}

interface Offered {
  tags: string[]
  /** The previous choice; an empty text where there is none. */
  remembered: string
  /** The browser's language. */
  browser: string
  note?: string | undefined
}

const initialState: SpokenLanguageState = { offered: [], note: '' }

export const spokenLanguageSlice = createSlice({
  name: 'spokenLanguage',
  initialState,
  reducers: {
    offered(state, { payload }: PayloadAction<Offered>) {
      state.offered = payload.tags
      state.note = payload.note ?? ''
      state.chosen = chooseSpokenLanguage(payload.tags, payload.remembered, payload.browser)
    },
    chosen(state, { payload }: PayloadAction<string>) {
      state.chosen = payload
    },
  },
})

export const selectSpokenLanguage = (state: { spokenLanguage: SpokenLanguageState }) =>
  state.spokenLanguage
