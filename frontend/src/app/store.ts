import { type Action, configureStore, createAction, type Reducer } from '@reduxjs/toolkit'

import { conversationSlice } from '../conversation/conversationSlice.ts'
import { languageSlice } from '../language/languageSlice.ts'
import { microphonesSlice } from '../speaking/microphonesSlice.ts'
import { speakingSlice } from '../speaking/speakingSlice.ts'
import { spokenLanguageSlice } from '../speaking/spokenLanguageSlice.ts'
import { viewingSlice } from '../viewing/viewingSlice.ts'

/** The page shows another conversation from now on. Where nobody signs in, it shows one alone. */
export const conversationLeft = createAction('page/conversationLeft')

function ofConversation<State>(reducer: Reducer<State>): Reducer<State> {
  return (state: State | undefined, action: Action) =>
    reducer(conversationLeft.match(action) ? undefined : state, action)
}

/** The reducers of a live conversation, a slice per feature. Slices export their selectors. */
export const reducers = {
  conversation: ofConversation(conversationSlice.reducer),
  language: languageSlice.reducer,
  microphones: microphonesSlice.reducer,
  speaking: ofConversation(speakingSlice.reducer),
  spokenLanguage: spokenLanguageSlice.reducer,
  viewing: ofConversation(viewingSlice.reducer),
}

/** Returns the state of a page on which nobody signs in. */
export function createStore() {
  return configureStore({ reducer: reducers })
}
