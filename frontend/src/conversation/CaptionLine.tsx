import { memo, useLayoutEffect, useRef } from 'react'

import { chooseDirection } from '../language/tags.ts'
import styles from './CaptionLine.module.css'
import type { Caption, Draft } from './conversationSlice.ts'
import { chooseColour, formatSpeakerDetail } from './speakerIdentity.ts'
import { chooseDisplayedText, type Wording } from './displayedText.ts'

interface Props {
  state: 'final' | 'draft'
  utterance: Caption | Draft
  /** ISO 8601 */
  time: string
  /** The reader's language; undefined for the originals. */
  language: string | undefined
  /** Whether the original is shown below its translation. */
  originals: boolean
  /** Whether a translation may still arrive. */
  awaited: boolean
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
})

/** One utterance with its speaker and its time. */
export const CaptionLine = memo(function CaptionLine(props: Props) {
  const { state, utterance, time, language, originals, awaited } = props
  const { speaker } = utterance
  const detail = formatSpeakerDetail(utterance)
  const shown = chooseDisplayedText(utterance, language, awaited)
  // The original keeps its place while its translation is awaited above it.
  const both = originals && (shown.state === 'translated' || shown.state === 'awaited')
  return (
    <article
      className={styles.line}
      data-state={state}
      data-both={both || undefined}
      // A translation and the original that it replaces are aligned alike.
      data-side={language === undefined ? undefined : chooseDirection(language)}
    >
      <p className={styles.by}>
        <span className={styles.who} data-colour={chooseColour(utterance)} title={speaker}>
          <span className={styles.speaker}>{speaker}</span>
          {detail !== '' && <span className={styles.detail}> · {detail}</span>}
        </span>
        <time className={styles.time} dateTime={time}>
          {clock.format(new Date(time))}
        </time>
      </p>
      {both && shown.state === 'awaited' ? (
        <p className={styles.text} data-shown="awaited">
          <span className="visually-hidden">Not translated yet</span>
          <span aria-hidden="true">…</span>
        </p>
      ) : (
        <Text
          // A final whose text is replaced is mounted anew, which starts its animation.
          key={state === 'final' ? shown.state : state}
          state={shown.state}
          main={shown.main}
          // The whole original is shown below already.
          rest={both ? undefined : shown.rest}
          stable={shown.state === 'translated' ? undefined : stableOf(utterance)}
          steady={state === 'draft' && language !== undefined}
        />
      )}
      {both && (
        <p
          className={styles.original}
          lang={utterance.language}
          dir={chooseDirection(utterance.language)}
        >
          {utterance.text}
        </p>
      )}
    </article>
  )
})

function stableOf(utterance: Caption | Draft): number | undefined {
  return 'stable' in utterance ? utterance.stable : undefined
}

interface TextProps {
  state: string
  main: Wording
  rest: Wording | undefined
  /** How many characters at the start will not change. */
  stable: number | undefined
  /** Never loses height: originals and translations alternate, and would move the text above. */
  steady: boolean
}

function Text({ state, main: { text, language }, rest, stable, steady }: TextProps) {
  const element = useRef<HTMLParagraphElement>(null)
  useLayoutEffect(() => {
    if (steady && element.current !== null) {
      element.current.style.minHeight = `${element.current.offsetHeight}px`
    }
  })
  return (
    <p
      ref={element}
      className={styles.text}
      data-shown={state}
      lang={language}
      dir={chooseDirection(language)}
    >
      {stable === undefined ? (
        text
      ) : (
        <>
          <span className={styles.stable}>{text.slice(0, stable)}</span>
          {text.slice(stable)}
        </>
      )}
      {rest !== undefined && (
        <>
          {' '}
          <span className={styles.rest} lang={rest.language} dir={chooseDirection(rest.language)}>
            {rest.text}
          </span>
        </>
      )}
    </p>
  )
}
