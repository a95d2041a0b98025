import { useSelector } from 'react-redux'

import { selectViewing, type ViewingState } from './viewingSlice.ts'
import styles from './ViewingStatus.module.css'

const WORDS: Record<ViewingState['status'], string> = {
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Reconnecting',
  ended: 'Not connected',
}

/** Whether the captions on the page are up to date. */
export function ViewingStatus() {
  const { status } = useSelector(selectViewing)
  return (
    <p className={styles.status} data-status={status} role="status" aria-label="Connection">
      {WORDS[status]}
    </p>
  )
}
