import './app/base.css'

import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Provider } from 'react-redux'

import { App } from './app/App.tsx'
import { InvalidLink } from './app/InvalidLink.tsx'
import { settings } from './app/settings.ts'
import { createStore } from './app/store.ts'
import {
  addressOf,
  conversationIn,
  freshConversationId,
  isConversationId,
  isForListening,
} from './conversation/conversationId.ts'
import { viewerUrl } from './live/endpoints.ts'
import { watchMicrophones } from './speaking/watchMicrophones.ts'
import { followConversation } from './viewing/follow.ts'

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')

const conversation = conversationIn(location.href) ?? freshConversationId()
if (isConversationId(conversation)) {
  const listening = isForListening(location.href)
  history.replaceState(null, '', addressOf(location.href, conversation, listening))

  const store = createStore(settings.read('microphone'))
  watchMicrophones(store.dispatch)
  const viewer = followConversation(viewerUrl(location.origin, conversation), store.dispatch)
  window.addEventListener('online', () => {
    viewer.retryNow()
  })

  createRoot(root).render(
    <StrictMode>
      <Provider store={store}>
        <App conversation={conversation} listening={listening} />
      </Provider>
    </StrictMode>,
  )
} else {
  createRoot(root).render(<InvalidLink />)
}
