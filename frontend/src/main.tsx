import './app/base.css'

import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Provider } from 'react-redux'

import { App } from './app/App.tsx'
import { InvalidLink } from './app/InvalidLink.tsx'
import { settings } from './shared/settings.ts'
import { createStore } from './app/store.ts'
import {
  addressOf,
  conversationIn,
  freshConversationId,
  isConversationId,
  isForListening,
} from './conversation/conversationId.ts'
import { languageIn, languageTag } from './language/tags.ts'
import { askForLanguages } from './language/offer.ts'
import { readingSlice } from './language/languageSlice.ts'
import { spokenSlice } from './speaking/spokenLanguageSlice.ts'
import { watchMicrophones } from './speaking/watchMicrophones.ts'
import { Following } from './viewing/subscription.ts'

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')

const conversation = conversationIn(location.href) ?? freshConversationId()
if (isConversationId(conversation)) {
  const listening = isForListening(location.href)
  history.replaceState(null, '', addressOf(location.href, conversation, listening))

  const store = createStore(settings.read('microphone'))
  watchMicrophones(store.dispatch)
  askForLanguages(location.origin, (offer) => {
    store.dispatch(readingSlice.actions.offered(offer))
    store.dispatch(
      spokenSlice.actions.offered({
        tags: offer.recognition,
        remembered: settings.read('spoken'),
        browser: navigator.language,
      }),
    )
  })
  const following = new Following(location.origin, conversation, store.dispatch)
  // A link says more than the habit; one without a language leaves it to the habit.
  const wanted = languageIn(location.href) ?? settings.read('language')
  const language = languageTag(wanted)
  if (wanted !== '' && language === undefined) following.refuse(wanted)
  else following.read(language)
  window.addEventListener('online', () => {
    following.retryNow()
  })

  createRoot(root).render(
    <StrictMode>
      <Provider store={store}>
        <App
          conversation={conversation}
          listening={listening}
          read={(chosen) => {
            settings.write('language', chosen ?? '')
            following.read(chosen)
          }}
        />
      </Provider>
    </StrictMode>,
  )
} else {
  createRoot(root).render(<InvalidLink />)
}
