import type { AppDispatch } from '../app/store.ts'
import { heard, recalled } from '../conversation/conversationSlice.ts'
import { Viewer } from '../live/viewer.ts'
import { viewingSlice } from './viewingSlice.ts'

const { connecting, live, waiting, ended } = viewingSlice.actions

/** Follows a conversation into the store. */
export function followConversation(url: string, dispatch: AppDispatch): Viewer {
  const viewer = new Viewer(url, (event) => {
    switch (event.kind) {
      case 'connecting':
        dispatch(connecting())
        break
      case 'live':
        dispatch(live())
        break
      case 'waiting':
        dispatch(waiting({ problem: event.problem, retryAt: event.retryAt }))
        break
      case 'ended':
        dispatch(ended(event.problem))
        break
      case 'message':
        dispatch(heard({ message: event.message, source: 'viewer', now: Date.now() }))
        break
      case 'recalled':
        dispatch(recalled(event.utterances))
        break
    }
  })
  viewer.open()
  return viewer
}
