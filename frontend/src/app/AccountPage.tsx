import { useEffect, useMemo, useState } from 'react'
import { useDispatch, useSelector } from 'react-redux'

import { Account } from '../accounts/Account.tsx'
import styles from '../accounts/accounts.module.css'
import { asGuest, type Caller } from '../accounts/apiCalls.ts'
import { Frame } from '../accounts/Frame.tsx'
import { Home } from '../accounts/Home.tsx'
import { People } from '../accounts/People.tsx'
import { RefusalNotice } from '../accounts/RefusalNotice.tsx'
import { type Session, StorageForbidden } from '../accounts/session.ts'
import { SignedOut } from '../accounts/SignedOut.tsx'
import { SignInButton } from '../accounts/SignInButton.tsx'
import { selectSignIn, signInSlice } from '../accounts/signIn.ts'
import { readView, type View } from '../accounts/views.ts'
import { readAddress, type Route, takeSecrets } from '../shared/arrival.ts'
import type { Problem } from '../shared/problem.ts'
import type { TabStorage } from '../shared/tabStorage.ts'
import { AccountConversation } from './AccountConversation.tsx'
import { useFocusOnHeading } from './useFocusOnHeading.ts'

interface Props {
  session: Session
  storage: TabStorage
  /** Where people sign in, an address. */
  issuer: string
}

const NOT_STARTED: Problem = {
  title: 'The sign-in could not be started.',
  advice: 'Try again. If that does not help, reload the page.',
}
const NOTHING_KEPT: Problem = {
  title: 'Your browser keeps nothing for this page, so you cannot sign in.',
  advice: 'Allow cookies and site data for this page, then reload it. Links for guests work.',
}

/** What the address leads to: the home page or a conversation, after the sign-in where needed. */
export function AccountPage({ session, storage, issuer }: Props) {
  const { kind, problem } = useSelector(selectSignIn)
  const dispatch = useDispatch()
  const { route, view, refresh } = useRoute(storage)
  const link = route.kind === 'conversation' ? storage.read(`link.${route.id}`) : undefined
  useFocusOnHeading(`${route.kind} ${view} ${kind}`)

  const signIn = async () => {
    try {
      await session.begin(location.pathname + location.search + location.hash)
    } catch (error) {
      const isForbidden = error instanceof StorageForbidden
      dispatch(signInSlice.actions.signInFailed(isForbidden ? NOTHING_KEPT : NOT_STARTED))
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
    const goOnAsPerson = () => {
      storage.remove(`link.${route.id}`)
      refresh()
    }
    return (
      <AccountConversation
        key={link}
        id={route.id}
        caller={guest}
        isGuest
        onWithoutLink={kind === 'in' ? goOnAsPerson : undefined}
        tools={null}
      />
    )
  }
  if (kind === 'checking') {
    return (
      <main className={styles.page}>
        <p role="status">Signing in</p>
      </main>
    )
  }
  if (kind === 'out') return <SignedOut problem={problem} onSignIn={signIn} />
  const banner = kind === 'ended' && <SignInEnded problem={problem} onSignIn={signIn} />
  if (route.kind === 'home') {
    return (
      <>
        {banner}
        <Frame view={view} onSignOut={signOut}>
          {view === 'account' && <Account />}
          {view === 'people' && <People issuer={issuer} />}
          {view === 'conversations' && (
            <Home
              problem={kind === 'in' ? problem : undefined}
              onOpen={(id) => {
                // Whoever opens their own conversation is no guest in it.
                storage.remove(`link.${id}`)
              }}
            />
          )}
        </Frame>
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

function SignInEnded({
  problem,
  onSignIn,
}: {
  problem: Problem | undefined
  onSignIn: () => Promise<void>
}) {
  return (
    <div className={styles.banner}>
      <p role="alert">
        <strong>Your sign-in has ended.</strong> What is open goes on; signing in again interrupts
        it.
      </p>
      <SignInButton className="button" label="Sign in again" onSignIn={onSignIn} />
      <RefusalNotice problem={problem} />
    </div>
  )
}

interface Shown {
  route: Route
  /** Of the home page. */
  view: View
}

function readShown(): Shown {
  return { route: readAddress(location.href).route, view: readView(location.hash) }
}

function useRoute(storage: TabStorage): Shown & { refresh: () => void } {
  const [shown, setShown] = useState(readShown)
  useEffect(() => {
    const follow = () => {
      takeSecrets(storage)
      setShown(readShown())
    }
    window.addEventListener('hashchange', follow)
    return () => {
      window.removeEventListener('hashchange', follow)
    }
  }, [storage])
  const refresh = () => {
    setShown(readShown())
  }
  return { ...shown, refresh }
}
