/** The language that is spoken here, of those that the engine recognises. */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import { spokenAtFirst } from './spokenLanguage.ts'

export interface SpokenLanguageState {
  /** BCP 47 tags; none stands for any, and for a server that has not answered yet. */
  offered: string[]
  /** Undefined leaves it to the server. */
  chosen?: string | undefined
}

interface Offered {
  tags: string[]
  /** What was chosen last time; may be an empty text. */
  remembered: string
  /** The browser's language. */
  browser: string
}

const initialState: SpokenLanguageState = { offered: [] }

export const spokenLanguageSlice = createSlice({
  name: 'spokenLanguage',
  initialState,
  reducers: {
    offered(state, { payload }: PayloadAction<Offered>) {
      state.offered = payload.tags
      state.chosen = spokenAtFirst(payload.tags, payload.remembered, payload.browser)
    },
    chosen(state, { payload }: PayloadAction<string>) {
      state.chosen = payload
    },
  },
})

export const selectSpokenLanguage = (state: { spokenLanguage: SpokenLanguageState }) =>
  state.spokenLanguage
