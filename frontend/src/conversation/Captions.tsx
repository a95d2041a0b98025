import { Fragment, memo } from 'react'
import { useSelector } from 'react-redux'

import { selectLanguage } from '../language/languageSlice.ts'
import { chooseDirection } from '../language/tags.ts'
import styles from './Captions.module.css'
import { CaptionLine } from './CaptionLine.tsx'
import {
  type Gap,
  selectAnnouncements,
  selectAwaited,
  selectHasEarlierWords,
  selectCaptions,
  selectDrafts,
  selectIsEmpty,
  selectIsTrimmed,
} from './conversationSlice.ts'
import { formatSpeakerDetail } from './speakerIdentity.ts'
import { useStickToEnd } from './useStickToEnd.ts'

/** The page cannot know whether there is anything: a snapshot reaches back `SNAPSHOT_REACH`. */
const EARLIER =
  'If anything was said more than two minutes before you came, it is stored but not shown here.'

interface Props {
  /** The page shows the speaker's panel. */
  speaks: boolean
  /** The server listens to this page's microphone. */
  isListening: boolean
  /** Whether the originals are shown below their translations. */
  originals: boolean
}

/** The captions of the conversation, in a region that scrolls. */
export function Captions({ speaks, isListening, originals }: Props) {
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
          <Nothing speaks={speaks} isListening={isListening} />
          <Finals originals={originals} />
          <Drafts originals={originals} />
        </div>
      </div>
      <Announcements />
      {!stuck && (
        <button type="button" className={`button ${styles.jump ?? ''}`} onClick={jump}>
          <span aria-hidden="true">↓ </span>Jump to latest
        </button>
      )}
    </>
  )
}

/**
 * The finals, which screen readers read out as they arrive. Drafts are not read out, because they
 * change all the time. Translations change the text here too; then `Announcements` is read out.
 */
const Finals = memo(function Finals({ originals }: { originals: boolean }) {
  const captions = useSelector(selectCaptions)
  const awaited = useSelector(selectAwaited)
  const isTrimmed = useSelector(selectIsTrimmed)
  const hasEarlierWords = useSelector(selectHasEarlierWords)
  const language = useSelector(selectLanguage)
  return (
    <div
      role="log"
      aria-live={language === undefined ? 'polite' : 'off'}
      aria-label="Finished captions"
    >
      {isTrimmed ? (
        <p className={styles.note}>Older captions are stored, and no longer on this page.</p>
      ) : (
        hasEarlierWords === true && <p className={styles.note}>{EARLIER}</p>
      )}
      {captions.map((caption) => (
        <Fragment key={caption.utteranceId}>
          {caption.gap !== undefined && <Missing gap={caption.gap} />}
          <CaptionLine
            state="final"
            utterance={caption}
            time={caption.timestamp}
            language={language}
            originals={originals}
            awaited={Object.hasOwn(awaited, caption.utteranceId)}
          />
        </Fragment>
      ))}
    </div>
  )
})

/** What screen readers read out where translations are read: every utterance once. */
function Announcements() {
  const language = useSelector(selectLanguage)
  const announcements = useSelector(selectAnnouncements)
  if (language === undefined) return null
  return (
    <div className="visually-hidden" role="log" aria-label="Newest captions">
      {announcements.map(({ utteranceId, text, language: spoken, ...who }) => (
        <p key={utteranceId}>
          {[who.speaker, formatSpeakerDetail(who)].filter((part) => part !== '').join(' · ')}:{' '}
          <span lang={spoken} dir={chooseDirection(spoken)}>
            {text}
          </span>
        </p>
      ))}
    </div>
  )
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })

function Missing({ gap: { from, to } }: { gap: Gap }) {
  const time = clock.formatRange(from, to)
  return (
    <p className={styles.note}>
      {`This page was not connected (${time}). What was said then may be missing here.`}
    </p>
  )
}

function Drafts({ originals }: { originals: boolean }) {
  const drafts = useSelector(selectDrafts)
  const language = useSelector(selectLanguage)
  return (
    <div aria-label="Being spoken" role="group">
      {Object.values(drafts)
        .sort((a, b) => a.since - b.since)
        .map((draft) => (
          <CaptionLine
            key={draft.utteranceId}
            state="draft"
            utterance={draft}
            time={new Date(draft.since).toISOString()}
            language={language}
            originals={originals}
            awaited
          />
        ))}
    </div>
  )
}

function Nothing({ speaks, isListening }: Omit<Props, 'originals'>) {
  const isEmpty = useSelector(selectIsEmpty)
  if (!isEmpty) return null
  return (
    <div className={styles.nothing}>
      {isListening ? (
        <p>Speak, and your words appear here.</p>
      ) : speaks ? (
        <>
          <p>Press Start and speak. Your words appear here while you say them.</p>
          <p>Everybody who opens the listeners’ link reads along.</p>
        </>
      ) : (
        <p>Nobody has spoken in the last two minutes. Captions appear here by themselves.</p>
      )}
      {!isListening && <p>{EARLIER}</p>}
    </div>
  )
}
