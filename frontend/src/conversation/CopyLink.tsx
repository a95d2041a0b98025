import { useEffect, useState } from 'react'

import styles from './CopyLink.module.css'

/** How long the button confirms the copy, in milliseconds. */
const CONFIRMATION = 2_500

interface Props {
  /** What is copied. */
  what?: string
  address: string
  /** What the link is for, as a part of the button's name. */
  purpose?: string
}

/** Copies a link to the clipboard. Where that is forbidden, shows it. */
export function CopyLink({ what = 'Link', address, purpose = 'for listeners' }: Props) {
  const [copied, setCopied] = useState(false)

  useEffect(() => {
    if (!copied) return undefined
    const timer = setTimeout(() => {
      setCopied(false)
    }, CONFIRMATION)
    return () => {
      clearTimeout(timer)
    }
  }, [copied])

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(address)
      setCopied(true)
    } catch {
      window.prompt(`Copy this ${what.toLowerCase()} ${purpose}:`, address)
    }
  }

  return (
    <button type="button" className="button" onClick={() => void copy()}>
      <span aria-live="polite">
        {copied ? (
          `${what} copied`
        ) : (
          <>
            Copy {what.toLowerCase()}
            <span className={styles.purpose}> {purpose}</span>
          </>
        )}
      </span>
    </button>
  )
}
