import { useState } from 'react'

import type { Problem } from '../shared/problem.ts'
import styles from './accounts.module.css'
import { RefusalNotice } from './RefusalNotice.tsx'

interface Props {
  problem: Problem | undefined
  onSignIn: () => Promise<void>
}

/** Shown to whoever is not signed in and has no share link. */
export function SignedOut({ problem, onSignIn }: Props) {
  const [isLeaving, setLeaving] = useState(false)
  return (
    <main className={styles.page}>
      <h1>Cloudscribe</h1>
      <p>Live captions: read what is said while it is said.</p>
      <RefusalNotice problem={problem} />
      <button
        type="button"
        className={styles.primary}
        disabled={isLeaving}
        onClick={() => {
          setLeaving(true)
          onSignIn().catch(() => {
            setLeaving(false)
          })
        }}
      >
        Sign in
      </button>
      <p className={styles.soft}>
        You have a link to a conversation? Open it: it works without an account.
      </p>
    </main>
  )
}
