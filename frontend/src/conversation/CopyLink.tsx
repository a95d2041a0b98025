import { useEffect, useState } from 'react'

import styles from './CopyLink.module.css'

/** So long the button says that it worked, in milliseconds. */
const THANKS = 2_500

/** Puts the address for listeners on the clipboard; where that is forbidden, shows it. */
export function CopyLink({ address }: { address: string }) {
  const [copied, setCopied] = useState(false)

  useEffect(() => {
    if (!copied) return undefined
    const timer = setTimeout(() => {
      setCopied(false)
    }, THANKS)
    return () => {
      clearTimeout(timer)
    }
  }, [copied])

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(address)
      setCopied(true)
    } catch {
      window.prompt('Copy this link for listeners:', address)
    }
  }

  return (
    <button type="button" className="button" onClick={() => void copy()}>
      <span aria-live="polite">
        {copied ? (
          'Link copied'
        ) : (
          <>
            Copy link<span className={styles.purpose}> for listeners</span>
          </>
        )}
      </span>
    </button>
  )
}
