import { useEffect, useState } from 'react'

interface Props {
  className: string | undefined
  label: string
  onSignIn: () => Promise<void>
}

/** Sends the browser to the sign-in; one press counts until that failed, or the person came back. */
export function SignInButton({ className, label, onSignIn }: Props) {
  const [isLeaving, setLeaving] = useState(false)
  useEffect(() => {
    // The browser's Back shows a kept page as it was left.
    const comeBack = () => {
      setLeaving(false)
    }
    window.addEventListener('pageshow', comeBack)
    return () => {
      window.removeEventListener('pageshow', comeBack)
    }
  }, [])
  return (
    <button
      type="button"
      className={className}
      disabled={isLeaving}
      onClick={() => {
        setLeaving(true)
        onSignIn().catch(() => {
          setLeaving(false)
        })
      }}
    >
      {label}
    </button>
  )
}
