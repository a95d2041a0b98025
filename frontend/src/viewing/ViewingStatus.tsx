import { useEffect, useState } from 'react'
import { useSelector } from 'react-redux'

import { formatDuration } from '../shared/formatDuration.ts'
import { selectViewing, type ViewingState } from './viewingSlice.ts'
import styles from './ViewingStatus.module.css'

const WORDS: Record<ViewingState['status'], string> = {
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Connecting again',
  ended: 'Not connected',
}

/** Whether the captions on the page are up to date. */
export function ViewingStatus() {
  const { status, behindSince } = useSelector(selectViewing)
  return (
    <div className={styles.status} data-status={status}>
      <p role="status" aria-label="Connection">
        {WORDS[status]}
      </p>
      {behindSince !== undefined && <Behind since={behindSince} />}
    </div>
  )
}

/** How long nothing has come; outside the status, or it would be read out every second. */
function Behind({ since }: { since: number }) {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => {
      setNow(Date.now())
    }, 1_000)
    return () => {
      clearInterval(timer)
    }
  }, [])
  return (
    <span role="timer" aria-label="Time without captions">
      {formatDuration((now - since) / 1_000)} behind
    </span>
  )
}
