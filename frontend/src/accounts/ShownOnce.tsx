import { CopyLink } from '../conversation/CopyLink.tsx'
import styles from './accounts.module.css'

interface Props {
  what: 'Link' | 'Key'
  /** What it is for, as a part of the button's name. */
  purpose: string
  secret: string
}

/** A new secret, which nobody can show a second time. */
export function ShownOnce({ what, purpose, secret }: Props) {
  return (
    <div className={styles.made}>
      <p>
        <strong>Copy the {what.toLowerCase()} now.</strong> It is shown this once, because only
        whoever has it can know it.
      </p>
      <p className={styles.secret}>{secret}</p>
      <CopyLink key={secret} what={what} purpose={purpose} address={secret} />
    </div>
  )
}
