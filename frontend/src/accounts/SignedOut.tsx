import type { Problem } from '../shared/problem.ts'
import styles from './accounts.module.css'
import { RefusalNotice } from './RefusalNotice.tsx'
import { SignInButton } from './SignInButton.tsx'

interface Props {
  problem: Problem | undefined
  onSignIn: () => Promise<void>
}

/** Shown to whoever is not signed in and has no share link. */
export function SignedOut({ problem, onSignIn }: Props) {
  return (
    <main className={styles.page}>
      <h1>Cloudscribe</h1>
      <p>Live captions: read what is said while it is said.</p>
      <RefusalNotice problem={problem} />
      <SignInButton className={styles.primary} label="Sign in" onSignIn={onSignIn} />
      <p className={styles.soft}>
        You have a link to a conversation? Open it: it works without an account.
      </p>
    </main>
  )
}
