import { type MouseEvent, useEffect, useMemo, useState } from 'react'
import { useDispatch, useSelector } from 'react-redux'

import styles from '../accounts/accounts.module.css'
import { asGuest, type Caller } from '../accounts/apiCalls.ts'
import { Home } from '../accounts/Home.tsx'
import type { Session } from '../accounts/session.ts'
import { SignedOut } from '../accounts/SignedOut.tsx'
import { selectSignIn, signInSlice } from '../accounts/signIn.ts'
import { readAddress, type Route, takeSecrets } from '../shared/arrival.ts'
import type { Problem } from '../shared/problem.ts'
import type { TabStorage } from '../shared/tabStorage.ts'
import { AccountConversation } from './AccountConversation.tsx'
import { useFocusOnHeading } from './useFocusOnHeading.ts'

interface Props {
  session: Session
  storage: TabStorage
}

const NOT_STARTED: Problem = {
  title: 'The sign-in could not be started.',
  advice: 'Try again. If that does not help, reload the page.',
}

/** What the address leads to: the home page or a conversation, after the sign-in where needed. */
export function AccountPage({ session, storage }: Props) {
  const { kind, problem } = useSelector(selectSignIn)
  const dispatch = useDispatch()
  const route = useRoute(storage)
  const link = route.kind === 'conversation' ? storage.read(`link.${route.id}`) : undefined
  useFocusOnHeading(`${route.kind} ${kind}`)

  const signIn = async () => {
    try {
      await session.begin(location.pathname + location.search + location.hash)
    } catch (error) {
      dispatch(signInSlice.actions.signInFailed(NOT_STARTED))
      throw error
    }
  }
  const signOut = () => void session.signOut()
  const person = useMemo<Caller>(
    () => ({ bearer: () => session.bearer(), renew: () => session.renew() }),
    [session],
  )
  const guest = useMemo(() => (link === undefined ? undefined : asGuest(link)), [link])

  if (route.kind === 'broken_link') {
    return (
      <main className={styles.page}>
        <h1>This link is incomplete.</h1>
        <p>A part of it was lost on the way. Ask for it again, and copy all of it.</p>
        <a href="#/">Home</a>
      </main>
    )
  }
  if (route.kind === 'conversation' && guest !== undefined) {
    return <AccountConversation key={link} id={route.id} caller={guest} isGuest tools={null} />
  }
  if (kind === 'checking') {
    return (
      <main className={styles.page}>
        <p role="status">Signing in</p>
      </main>
    )
  }
  if (kind === 'out') return <SignedOut problem={problem} onSignIn={signIn} />
  const banner = kind === 'ended' && <SignInEnded onSignIn={signIn} />
  if (route.kind === 'home') {
    return (
      <>
        {banner}
        <Home
          problem={problem}
          onSignOut={signOut}
          onOpen={(id) => {
            // Whoever opens their own conversation is no guest in it.
            storage.remove(`link.${id}`)
          }}
        />
      </>
    )
  }
  return (
    <AccountConversation
      key={route.id}
      id={route.id}
      caller={person}
      isGuest={false}
      banner={banner}
      tools={
        <a className="button" href="#/">
          Conversations
        </a>
      }
    />
  )
}

function SignInEnded({ onSignIn }: { onSignIn: () => Promise<void> }) {
  const start = (event: MouseEvent<HTMLButtonElement>) => {
    const button = event.currentTarget
    button.disabled = true
    onSignIn().catch(() => {
      button.disabled = false
    })
  }
  return (
    <div className={styles.banner}>
      <p role="alert">
        <strong>Your sign-in has ended.</strong> What is open goes on. Sign in again for the rest.
      </p>
      <button type="button" className="button" onClick={start}>
        Sign in again
      </button>
    </div>
  )
}

function useRoute(storage: TabStorage): Route {
  const [route, setRoute] = useState(() => readAddress(location.href).route)
  useEffect(() => {
    const follow = () => {
      takeSecrets(storage)
      setRoute(readAddress(location.href).route)
    }
    window.addEventListener('hashchange', follow)
    return () => {
      window.removeEventListener('hashchange', follow)
    }
  }, [storage])
  return route
}
