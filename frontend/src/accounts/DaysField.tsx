import { useId } from 'react'

import styles from './accounts.module.css'

/** The longest that links and keys last. */
const MOST_DAYS = 90

interface Props {
  days: number
  onChange: (days: number) => void
}

/** How long a link or a key lasts. */
export function DaysField({ days, onChange }: Props) {
  const id = useId()
  return (
    <div className={styles.narrow}>
      <label htmlFor={id}>Days until it ends</label>
      <input
        id={id}
        type="number"
        min={1}
        max={MOST_DAYS}
        required
        value={Number.isNaN(days) ? '' : days}
        onChange={({ target }) => {
          onChange(target.valueAsNumber)
        }}
      />
    </div>
  )
}
