import { useEffect, useState } from 'react'

/** Counts down the seconds to a time in milliseconds since 1970. */
export function Countdown({ until }: { until: number }) {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => {
      setNow(Date.now())
    }, 250)
    return () => {
      clearInterval(timer)
    }
  }, [])
  const seconds = Math.max(0, Math.ceil((until - now) / 1_000))
  return <span role="timer">{`Trying again in ${seconds} s`}</span>
}
