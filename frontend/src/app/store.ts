import { configureStore } from '@reduxjs/toolkit'
import { useDispatch, useSelector } from 'react-redux'

import { conversationSlice } from '../conversation/conversationSlice.ts'
import { readingSlice } from '../language/languageSlice.ts'
import { microphonesSlice } from '../speaking/microphonesSlice.ts'
import { speakingSlice } from '../speaking/speakingSlice.ts'
import { spokenSlice } from '../speaking/spokenLanguageSlice.ts'
import { viewingSlice } from '../viewing/viewingSlice.ts'

export function createStore(microphone: string) {
  return configureStore({
    reducer: {
      conversation: conversationSlice.reducer,
      reading: readingSlice.reducer,
      viewing: viewingSlice.reducer,
      speaking: speakingSlice.reducer,
      microphones: microphonesSlice.reducer,
      spoken: spokenSlice.reducer,
    },
    preloadedState: { microphones: { devices: [], chosen: microphone } },
  })
}

type Store = ReturnType<typeof createStore>
export type AppDispatch = Store['dispatch']
export type RootState = ReturnType<Store['getState']>

export const useAppDispatch = useDispatch.withTypes<AppDispatch>()
export const useAppSelector = useSelector.withTypes<RootState>()
