import { StrictMode } from 'react'
import type { Root } from 'react-dom/client'
import { Provider } from 'react-redux'

import {
  addressOf,
  conversationIn,
  generateConversationId,
  isConversationId,
  isForListening,
} from '../conversation/conversationId.ts'
import { rememberLanguage, restoreLanguage } from '../language/chosenLanguage.ts'
import { parseTag } from '../language/tags.ts'
import { Subscription } from '../viewing/subscription.ts'
import { App } from './App.tsx'
import { InvalidLink } from './InvalidLink.tsx'
import { createStore } from './store.ts'
import { watchChoices } from './watchChoices.ts'

/** Shows the page on which nobody signs in: the conversation of the address, or a new one. */
export function openPage(root: Root): void {
  const conversation = conversationIn(location.href) ?? generateConversationId()
  if (!isConversationId(conversation)) {
    root.render(<InvalidLink />)
    return
  }
  const listening = isForListening(location.href)
  history.replaceState(null, '', addressOf(location.href, conversation, listening))

  const store = createStore()
  watchChoices(location.origin, store.dispatch)
  const subscription = new Subscription(location.origin, conversation, store.dispatch)
  const wanted = restoreLanguage(location.href)
  const language = parseTag(wanted)
  if (wanted !== '' && language === undefined) subscription.refuse(wanted)
  else subscription.read(language)
  window.addEventListener('online', () => {
    subscription.retryNow()
  })

  root.render(
    <StrictMode>
      <Provider store={store}>
        <App
          conversation={conversation}
          listening={listening}
          onLanguage={(chosen) => {
            rememberLanguage(chosen)
            subscription.read(chosen)
          }}
        />
      </Provider>
    </StrictMode>,
  )
}
