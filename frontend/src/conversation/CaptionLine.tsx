import { memo } from 'react'

import styles from './CaptionLine.module.css'

interface Props {
  state: 'final' | 'draft'
  speaker: string
  language: string
  text: string
  /** ISO 8601 */
  time: string
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
})

/** One utterance, with who said it and when. */
export const CaptionLine = memo(function CaptionLine(props: Props) {
  const { state, speaker, language, text, time } = props
  return (
    <article className={styles.line} data-state={state}>
      <p className={styles.by}>
        <span className={styles.speaker} data-colour={colourOf(speaker)} title={speaker}>
          {speaker}
        </span>
        <time className={styles.time} dateTime={time}>
          {clock.format(new Date(time))}
        </time>
      </p>
      <p className={styles.text} lang={language} dir="auto">
        {text}
      </p>
    </article>
  )
})

/** The same speaker has the same colour on every page: one of six. */
function colourOf(speaker: string): number {
  let hash = 0
  for (const char of speaker) hash = (31 * hash + (char.codePointAt(0) ?? 0)) >>> 0
  return hash % 6
}
