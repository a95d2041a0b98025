import './app/base.css'

import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Provider } from 'react-redux'

import { App } from './app/App.tsx'
import { InvalidLink } from './app/InvalidLink.tsx'
import { store } from './app/store.ts'
import {
  addressOf,
  conversationIn,
  generateConversationId,
  isConversationId,
  isForListening,
} from './conversation/conversationId.ts'
import { rememberLanguage, restoreLanguage } from './language/chosenLanguage.ts'
import { languagesOffered } from './language/languageSlice.ts'
import { fetchOffer } from './language/offer.ts'
import { parseTag } from './language/tags.ts'
import { readSetting } from './shared/settings.ts'
import { spokenLanguageSlice } from './speaking/spokenLanguageSlice.ts'
import { watchMicrophones } from './speaking/watchMicrophones.ts'
import { Subscription } from './viewing/subscription.ts'

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')

const conversation = conversationIn(location.href) ?? generateConversationId()
if (isConversationId(conversation)) {
  const listening = isForListening(location.href)
  history.replaceState(null, '', addressOf(location.href, conversation, listening))

  watchMicrophones(store.dispatch)
  fetchOffer(location.origin, (offer) => {
    store.dispatch(languagesOffered(offer))
    store.dispatch(
      spokenLanguageSlice.actions.offered({
        tags: offer.recognition,
        remembered: readSetting('spoken'),
        browser: navigator.language,
        note: offer.note,
      }),
    )
  })
  const subscription = new Subscription(location.origin, conversation, store.dispatch)
  const wanted = restoreLanguage(location.href)
  const language = parseTag(wanted)
  if (wanted !== '' && language === undefined) subscription.refuse(wanted)
  else subscription.read(language)
  window.addEventListener('online', () => {
    subscription.retryNow()
  })

  createRoot(root).render(
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
} else {
  createRoot(root).render(<InvalidLink />)
}
