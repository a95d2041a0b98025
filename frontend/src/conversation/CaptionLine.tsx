import { memo, useLayoutEffect, useRef } from 'react'

import { directionOf } from '../language/tags.ts'
import styles from './CaptionLine.module.css'
import type { Caption, Draft } from './conversationSlice.ts'
import { colourOf, detailOf } from './speakerIdentity.ts'
import { shownOf, type Wording } from './displayedText.ts'

interface Props {
  state: 'final' | 'draft'
  utterance: Caption | Draft
  /** ISO 8601 */
  time: string
  /** What is read; undefined for the originals. */
  language: string | undefined
  /** Whether the original stands under its translation. */
  originals: boolean
  /** Whether a translation may still come. */
  awaited: boolean
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
})

/** One utterance, with who said it and when. */
export const CaptionLine = memo(function CaptionLine(props: Props) {
  const { state, utterance, time, language, originals, awaited } = props
  const { speaker } = utterance
  const detail = detailOf(utterance)
  const shown = shownOf(utterance, language, awaited)
  // The original keeps its place while the translation above it comes.
  const both = originals && (shown.state === 'translated' || shown.state === 'awaited')
  return (
    <article
      className={styles.line}
      data-state={state}
      data-both={both || undefined}
      // Translations and what they replace stand on the same side.
      data-side={language === undefined ? undefined : directionOf(language)}
    >
      <p className={styles.by}>
        <span className={styles.who} data-colour={colourOf(utterance)} title={speaker}>
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
          // What is finished shows that it has become another text.
          key={state === 'final' ? shown.state : state}
          state={shown.state}
          main={shown.main}
          // With the original beside it nothing is missing.
          rest={both ? undefined : shown.rest}
          stable={shown.state === 'translated' ? undefined : stableOf(utterance)}
          steady={state === 'draft' && language !== undefined}
        />
      )}
      {both && (
        <p
          className={styles.original}
          lang={utterance.language}
          dir={directionOf(utterance.language)}
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
  /** So many characters will not change. */
  stable: number | undefined
  /** Never becomes less high: originals and translations alternate, and push what is above. */
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
      dir={directionOf(language)}
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
          <span className={styles.rest} lang={rest.language} dir={directionOf(rest.language)}>
            {rest.text}
          </span>
        </>
      )}
    </p>
  )
}
