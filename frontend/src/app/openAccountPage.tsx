import { StrictMode } from 'react'
import type { Root } from 'react-dom/client'
import { Provider } from 'react-redux'

import type { AccountAccess } from '../api.ts'
import { api } from '../accounts/api.ts'
import { IssuerClient } from '../accounts/issuer.ts'
import { CLOCK } from '../accounts/lifetime.ts'
import { lockAcrossTabs, openChannel, Session } from '../accounts/session.ts'
import { signInSlice } from '../accounts/signIn.ts'
import { conversationIn, isConversationId } from '../conversation/conversationId.ts'
import { addressOfConversation } from '../shared/arrival.ts'
import { writeSetting } from '../shared/settings.ts'
import type { TabStorage } from '../shared/tabStorage.ts'
import { withParameter } from '../shared/address.ts'
import { AccountPage } from './AccountPage.tsx'
import { createAccountStore } from './accountStore.ts'
import { watchChoices } from './watchChoices.ts'

interface Arrived {
  access: AccountAccess
  /** How far the browser's clock is behind the server's, in seconds. */
  clockSkew: number
  /** The answer of a sign-in. */
  answer: URLSearchParams | undefined
  storage: TabStorage
}

const { signedIn, signedOut, signInEnded, signInFailed } = signInSlice.actions

/** Shows the page on which people sign in. */
export function openAccountPage(root: Root, { access, clockSkew, answer, storage }: Arrived): void {
  adoptOldAddress()
  const { origin } = location
  const session = new Session(
    new IssuerClient(access, `${origin}/`, clockSkew),
    {
      storage,
      origin,
      clock: CLOCK,
      lock: lockAcrossTabs,
      channel: openChannel('cloudscribe.session'),
      forgetPerson: () => {
        writeSetting('name', '')
      },
      leave: (url) => {
        location.assign(url)
      },
    },
    {
      onSignedIn: () => store.dispatch(signedIn()),
      onSignedOut: (problem) => {
        store.dispatch(signedOut(problem))
        store.dispatch(api.util.resetApiState())
      },
      onEnded: () => store.dispatch(signInEnded()),
      onProblem: (problem) => store.dispatch(signInFailed(problem)),
    },
  )
  const store = createAccountStore({
    origin,
    caller: { bearer: () => session.bearer(), renew: () => session.renew() },
  })
  watchChoices(origin, store.dispatch)
  for (const event of ['online', 'pageshow'] as const) {
    window.addEventListener(event, () => {
      session.renewIfDue()
    })
  }
  document.addEventListener('visibilitychange', () => {
    session.renewIfDue()
  })

  void session.arrive(answer).then((path) => {
    if (path === undefined) return
    history.replaceState(null, '', path)
    dispatchEvent(new HashChangeEvent('hashchange')) // `replaceState` announces nothing
  })
  root.render(
    <StrictMode>
      <Provider store={store}>
        <AccountPage session={session} storage={storage} issuer={access.issuer} />
      </Provider>
    </StrictMode>,
  )
}

/** Leads addresses of before accounts, `?conversation=ID`, to the conversation's address. */
function adoptOldAddress(): void {
  const id = conversationIn(location.href)
  if (id === undefined) return
  const url = new URL(withParameter(location.href, 'conversation', undefined))
  url.searchParams.delete('listen')
  if (isConversationId(id) && url.hash === '') url.hash = addressOfConversation(id)
  history.replaceState(null, '', url)
}
