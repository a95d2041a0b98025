import type { ReactNode } from 'react'

import styles from './accounts.module.css'
import { useGetMeQuery } from './api.ts'
import type { View } from './views.ts'

interface Props {
  view: View
  onSignOut: () => void
  children: ReactNode
}

const NAMES: Record<View, string> = {
  conversations: 'Conversations',
  account: 'Account',
  people: 'People',
}

const ADDRESSES: Record<View, string> = {
  conversations: '#/',
  account: '#/account',
  people: '#/people',
}

/** What all pages of a person have: the ways to the others, and the sign-out. */
export function Frame({ view, onSignOut, children }: Props) {
  const { data: me } = useGetMeQuery(undefined)
  const views: View[] = ['conversations', 'account']
  // That a link is missing protects nothing: the API decides.
  if (me?.isAdministrator === true || view === 'people') views.push('people')
  return (
    <div className={styles.page}>
      <header className={styles.bar}>
        <p className={styles.brand}>Cloudscribe</p>
        <nav className={styles.nav} aria-label="Pages">
          {views.map((each) => (
            <a key={each} href={ADDRESSES[each]} aria-current={each === view ? 'page' : undefined}>
              {NAMES[each]}
            </a>
          ))}
        </nav>
        <button type="button" className="button" onClick={onSignOut}>
          Sign out
        </button>
      </header>
      <main>{children}</main>
    </div>
  )
}
