import { configureStore } from '@reduxjs/toolkit'

import { conversationSlice } from '../conversation/conversationSlice.ts'
import { languageSlice } from '../language/languageSlice.ts'
import { microphonesSlice } from '../speaking/microphonesSlice.ts'
import { speakingSlice } from '../speaking/speakingSlice.ts'
import { spokenLanguageSlice } from '../speaking/spokenLanguageSlice.ts'
import { viewingSlice } from '../viewing/viewingSlice.ts'

/** The page's state, a slice per feature. Each slice exports the selectors that read it. */
export const store = configureStore({
  reducer: {
    conversation: conversationSlice.reducer,
    language: languageSlice.reducer,
    microphones: microphonesSlice.reducer,
    speaking: speakingSlice.reducer,
    spokenLanguage: spokenLanguageSlice.reducer,
    viewing: viewingSlice.reducer,
  },
})
