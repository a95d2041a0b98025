import { Fragment, memo } from 'react'

import { useAppSelector } from '../app/store.ts'
import styles from './Captions.module.css'
import { CaptionLine } from './CaptionLine.tsx'
import type { Gap } from './conversationSlice.ts'
import { useStickToEnd } from './useStickToEnd.ts'

/** The conversation as it is read. */
export function Captions({ speaks }: { speaks: boolean }) {
  const { scroller, content, stuck, jump } = useStickToEnd()
  return (
    <>
      <div
        ref={scroller}
        className={styles.scroller}
        // Focusable, so that the keyboard can scroll it.
        tabIndex={0}
        role="region"
        aria-label="Captions"
      >
        <div ref={content} className={styles.content}>
          <Nothing speaks={speaks} />
          <Finals />
          <Drafts />
        </div>
      </div>
      {!stuck && (
        <button type="button" className={`button ${styles.jump ?? ''}`} onClick={jump}>
          <span aria-hidden="true">↓ </span>Jump to latest
        </button>
      )}
    </>
  )
}

/** Read out by screen readers as they come; drafts are not, for they change all the time. */
const Finals = memo(function Finals() {
  const captions = useAppSelector((state) => state.conversation.captions)
  const trimmed = useAppSelector((state) => state.conversation.trimmed)
  return (
    <div role="log" aria-live="polite" aria-label="Finished captions">
      {trimmed && <p className={styles.note}>Older captions are no longer on this page.</p>}
      {captions.map(({ utteranceId, speaker, language, text, timestamp, gap }) => (
        <Fragment key={utteranceId}>
          {gap !== undefined && <Missing gap={gap} />}
          <CaptionLine
            state="final"
            speaker={speaker}
            language={language}
            text={text}
            time={timestamp}
          />
        </Fragment>
      ))}
    </div>
  )
})

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })

function Missing({ gap: { from, to } }: { gap: Gap }) {
  const time = clock.formatRange(from, to)
  return (
    <p className={styles.note}>
      {`This page was not connected (${time}). What was said then may be missing here.`}
    </p>
  )
}

function Drafts() {
  const drafts = useAppSelector((state) => state.conversation.drafts)
  return (
    <div aria-label="Being spoken" role="group">
      {Object.values(drafts)
        .sort((a, b) => a.since - b.since)
        .map(({ utteranceId, speaker, language, text, since }) => (
          <CaptionLine
            key={utteranceId}
            state="draft"
            speaker={speaker}
            language={language}
            text={text}
            time={new Date(since).toISOString()}
          />
        ))}
    </div>
  )
}

function Nothing({ speaks }: { speaks: boolean }) {
  const empty = useAppSelector(
    ({ conversation: { captions, drafts } }) =>
      captions.length === 0 && Object.keys(drafts).length === 0,
  )
  const phase = useAppSelector((state) => state.speaking.phase)
  if (!empty) return null
  return (
    <div className={styles.nothing}>
      {phase === 'listening' ? (
        <p>Speak, and your words appear here.</p>
      ) : speaks ? (
        <>
          <p>Press Start and speak. Your words appear here while you say them.</p>
          <p>Everybody who opens the listeners’ link reads along.</p>
        </>
      ) : (
        <p>Nobody has spoken in the last two minutes. Captions appear here by themselves.</p>
      )}
    </div>
  )
}
