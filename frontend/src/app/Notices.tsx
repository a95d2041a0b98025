import { useSelector } from 'react-redux'

import {
  selectIsIncomplete,
  selectIsTranslationFailing,
} from '../conversation/conversationSlice.ts'
import { selectLanguages } from '../language/languageSlice.ts'
import { nameLanguage } from '../language/tags.ts'
import type { Problem } from '../shared/problem.ts'
import { selectSpeaking } from '../speaking/speakingSlice.ts'
import { selectViewing } from '../viewing/viewingSlice.ts'
import { Countdown } from './Countdown.tsx'
import styles from './Notices.module.css'

interface Notice {
  problem: Problem
  retryAt?: number | undefined
  /** The page will not retry by itself. */
  final: boolean
}

const EARLIER_MISSING: Problem = {
  title: 'Earlier captions could not be loaded.',
  advice: 'New ones appear as they are spoken. The page goes on trying.',
}

function describeRefusal(language: string, offered: readonly string[]): Problem {
  return {
    title: `There are no captions in ${nameLanguage(language)} here.`,
    advice:
      'The originals are shown instead.' +
      (offered.length > 0 ? ' Other languages can be chosen at the top of the page.' : ''),
  }
}

/** The current problems, and what to do about them. */
export function Notices() {
  const speaking = useSelector(selectSpeaking)
  const viewing = useSelector(selectViewing)
  const isIncomplete = useSelector(selectIsIncomplete)
  const failing = useSelector(selectIsTranslationFailing)
  const { refused, offered } = useSelector(selectLanguages)

  const notices: Notice[] = []
  if (speaking.problem !== undefined) {
    const { problem, retryAt, phase } = speaking
    notices.push({ problem, retryAt, final: phase === 'idle' })
  }
  // Both sockets use one network, so the same problem is shown once.
  if (viewing.problem !== undefined && viewing.problem.title !== speaking.problem?.title) {
    const { problem, retryAt, status } = viewing
    notices.push({ problem, retryAt, final: status === 'ended' })
  }
  if (isIncomplete && viewing.status === 'live') {
    notices.push({ problem: EARLIER_MISSING, final: false })
  }
  if (refused !== undefined) {
    notices.push({ problem: describeRefusal(refused, offered), final: false })
  }

  return (
    <section className={styles.notices} aria-label="Notices">
      {/* A status rather than an alert, because captions continue. */}
      <p role="status" className={failing ? styles.quiet : undefined}>
        {failing && 'Some translations are missing at the moment; there the original is shown.'}
      </p>
      {notices.map(({ problem, retryAt, final }) => (
        <div key={problem.title} className={final ? styles.final : styles.passing}>
          {/* Outside the alert, or the countdown would be read out every second. */}
          <p role="alert">
            <strong>{problem.title}</strong> {problem.advice}
          </p>
          {retryAt !== undefined && <Countdown until={retryAt} />}
        </div>
      ))}
    </section>
  )
}
