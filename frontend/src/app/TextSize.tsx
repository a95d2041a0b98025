import { useSetting } from '../shared/useSetting.ts'
import styles from './TextSize.module.css'

const SIZES = ['small', 'medium', 'large', 'huge'] as const
export type TextSize = (typeof SIZES)[number]

/** The text size of captions, as a setting. */
export function useTextSize(): [TextSize, (size: TextSize) => void] {
  const [setting, setSize] = useSetting('text-size')
  return [SIZES.find((size) => size === setting) ?? 'medium', setSize]
}

interface Props {
  size: TextSize
  onChange: (size: TextSize) => void
}

export function TextSizeControl({ size, onChange }: Props) {
  const at = SIZES.indexOf(size)
  const smaller = SIZES[at - 1]
  const larger = SIZES[at + 1]
  return (
    <div className={styles.group} role="group" aria-label="Text size">
      <Step label="Smaller text" size={smaller} onChange={onChange} className={styles.smaller} />
      <Step label="Larger text" size={larger} onChange={onChange} className={styles.larger} />
    </div>
  )
}

interface StepProps {
  label: string
  size: TextSize | undefined
  onChange: (size: TextSize) => void
  className: string | undefined
}

function Step({ label, size, onChange, className }: StepProps) {
  return (
    <button
      type="button"
      className={`button ${className ?? ''}`}
      aria-label={label}
      // A disabled button would lose the focus.
      aria-disabled={size === undefined}
      onClick={() => {
        if (size !== undefined) onChange(size)
      }}
    >
      A
    </button>
  )
}
