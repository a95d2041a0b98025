import { type ReactNode, useEffect, useMemo, useRef, useState } from 'react'
import { useDispatch, useSelector } from 'react-redux'

import styles from '../accounts/accounts.module.css'
import { type Caller, issueTicket } from '../accounts/apiCalls.ts'
import { CLOCK } from '../accounts/lifetime.ts'
import { Share } from '../accounts/ShareDialog.tsx'
import { checkTicket, type Issued, Tickets } from '../accounts/tickets.ts'
import type { IssuedTicket } from '../api.ts'
import { rememberLanguage, restoreLanguage } from '../language/chosenLanguage.ts'
import { selectLanguages } from '../language/languageSlice.ts'
import { isAllowed, parseTag } from '../language/tags.ts'
import { Subscription } from '../viewing/subscription.ts'
import { App } from './App.tsx'
import { conversationLeft } from './store.ts'
import { useFocusOnHeading } from './useFocusOnHeading.ts'

interface Props {
  id: string
  caller: Caller
  /** Whoever reads with a link. */
  isGuest: boolean
  /** Opens the conversation with the person's sign-in instead; undefined without one. */
  onWithoutLink?: (() => void) | undefined
  banner?: ReactNode
  /** The way to the rest of the page. */
  tools: ReactNode
}

/** A conversation in which the caller has a role: asks for a ticket, then shows it. */
export function AccountConversation(props: Props) {
  const { id, caller, isGuest, onWithoutLink } = props
  const tickets = useMemo(() => {
    const calls = {
      issue: (wanted: Parameters<typeof issueTicket>[2]) =>
        issueTicket(location.origin, caller, wanted),
      check: (ticket: string) => checkTicket(location.origin, ticket),
    }
    return {
      reading: new Tickets({ conversationId: id, action: 'read' }, calls, CLOCK),
      speaking: new Tickets({ conversationId: id, action: 'speak' }, calls, CLOCK),
    }
  }, [id, caller])
  const [issued, setIssued] = useState<Issued>()
  const [attempt, setAttempt] = useState(0)
  useFocusOnHeading(issued === undefined ? 'asking' : 'answered')
  useEffect(() => {
    let isCurrent = true
    void tickets.reading.get().then((answer) => {
      if (isCurrent) setIssued(answer)
    })
    return () => {
      isCurrent = false
    }
  }, [tickets, attempt])

  if (issued === undefined) {
    return (
      <main className={styles.page}>
        <p role="status">Opening the conversation</p>
      </main>
    )
  }
  if ('refusal' in issued) {
    const { title, advice, isTransient, reason } = issued.refusal
    return (
      <main className={styles.page}>
        <h1>{title}</h1>
        <p role="alert">{advice}</p>
        {reason === 'link_invalid' && onWithoutLink !== undefined && (
          <p>
            <button type="button" className="button" onClick={onWithoutLink}>
              Open it with your account
            </button>
          </p>
        )}
        {isTransient ? (
          <button
            type="button"
            className={styles.primary}
            onClick={() => {
              setIssued(undefined)
              setAttempt(attempt + 1)
            }}
          >
            Try again
          </button>
        ) : (
          <a href="#/">{isGuest ? 'Home' : 'Your conversations'}</a>
        )}
      </main>
    )
  }
  return <Opened {...props} {...tickets} ticket={issued.ticket} />
}

function Opened({
  id,
  ticket,
  reading,
  speaking,
  banner,
  tools,
}: Props & { ticket: IssuedTicket; reading: Tickets; speaking: Tickets }) {
  const dispatch = useDispatch()
  const { offered } = useSelector(selectLanguages)
  const subscription = useRef<Subscription>(undefined)
  const { languages, role, title } = ticket
  const allowed = languages ?? undefined
  useEffect(() => {
    const opened = new Subscription(location.origin, id, dispatch, reading)
    subscription.current = opened
    const wanted = restoreLanguage(location.href)
    const language = parseTag(wanted)
    const mayRead = wanted === '' || (language !== undefined && isAllowed(language, allowed))
    if (mayRead) opened.read(language)
    else opened.refuse(wanted)
    const retry = () => {
      opened.retryNow()
    }
    window.addEventListener('online', retry)
    return () => {
      window.removeEventListener('online', retry)
      opened.close()
      dispatch(conversationLeft())
    }
  }, [id, dispatch, reading, allowed])
  const maySpeak = role !== 'reader'
  return (
    <App
      conversation={id}
      listening={!maySpeak}
      onLanguage={(chosen) => {
        rememberLanguage(chosen)
        subscription.current?.read(chosen)
      }}
      account={{
        title,
        maySpeak,
        languages: allowed,
        speaking,
        banner,
        tools: (
          <>
            {tools}
            {role === 'owner' && <Share conversation={id} offered={offered} />}
          </>
        ),
      }}
    />
  )
}
