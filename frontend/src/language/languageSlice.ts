/** What can be read besides the originals, and what stands in its way. */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import { heard, languageChosen } from '../conversation/conversationSlice.ts'
import type { Offer } from './offer.ts'

export interface ReadingState {
  /** BCP 47 tags of what is translated into; none until the server has told. */
  offered: string[]
  /** Translations only look like some. */
  standIn: boolean
  /** A language that was asked for, and that the server does not have. */
  refused?: string | undefined
  /** Translations are missing at the moment. */
  failing: boolean
}

const initialState = { offered: [], standIn: false, failing: false } as ReadingState

export const readingSlice = createSlice({
  name: 'reading',
  initialState,
  reducers: {
    offered(state, { payload }: PayloadAction<Offer>) {
      state.offered = payload.translation
      state.standIn = payload.translator === 'pseudo'
    },
    refused(state, { payload }: PayloadAction<string>) {
      state.refused = payload
    },
  },
  extraReducers: (builder) => {
    builder
      .addCase(languageChosen, (state) => {
        state.refused = undefined
        state.failing = false
      })
      .addCase(heard, (state, { payload: { message } }) => {
        // After a snapshot the server tells anew when they fail.
        if (message.type === 'snapshot') state.failing = false
        if (message.type === 'translation_status') state.failing = message.state === 'failing'
      })
  },
})
