import { useSelector } from 'react-redux'

import { formatDuration } from '../shared/formatDuration.ts'
import styles from './SpeakingStatus.module.css'
import { type Phase, type SpeakingState, selectSpeaking } from './speakingSlice.ts'
import { selectSpokenLanguage } from './spokenLanguageSlice.ts'

/** The smallest delay that is shown, in seconds. */
const NOTABLE_LAG = 2

const WORDS: Record<Phase, string> = {
  idle: 'Microphone off',
  asking: 'Please allow the microphone',
  connecting: 'Connecting',
  listening: 'Listening',
  waiting: 'Waiting for the server',
  reconnecting: 'Connecting again',
  stopping: 'Microphone off, the last words are on their way',
}

interface Props {
  /** Ends a stream that is stopping, without the last words. */
  onGiveUp: () => void
}

/** The state of the stream in words, with hints on what goes wrong. */
export function SpeakingStatus({ onGiveUp }: Props) {
  const speaking = useSelector(selectSpeaking)
  const { note } = useSelector(selectSpokenLanguage)
  // Not in the place of Stop: whoever presses that twice would lose the last words.
  const isStoppingAway = speaking.phase === 'stopping' && speaking.isAway
  return (
    <div className={styles.status}>
      <p
        className={styles.phase}
        role="status"
        aria-label="Microphone state"
        data-phase={speaking.phase}
      >
        {isStoppingAway ? 'Microphone off, connecting again' : WORDS[speaking.phase]}
      </p>
      {[...listHints(speaking), note].filter(Boolean).map((hint) => (
        <p key={hint} className={styles.hint}>
          {hint}
        </p>
      ))}
      {isStoppingAway && (
        <button type="button" className={styles.giveUp} onClick={onGiveUp}>
          Do not wait for the last words
        </button>
      )}
    </div>
  )
}

function listHints(state: SpeakingState): string[] {
  const { phase, isAway, maxSeconds, lag, kept, lost, isFull, silent } = state
  const listening = phase === 'listening'
  return [
    silent && 'No sound from the microphone. Is it muted?',
    isAway &&
      (lost < 1
        ? `${formatDuration(kept)} of speech are kept, nothing is lost`
        : `${formatDuration(kept)} of speech are kept`),
    isAway && isFull && 'No more can be kept: the oldest words are being lost',
    (listening || phase === 'stopping') &&
      !isAway &&
      lag > NOTABLE_LAG &&
      `Captions are ${formatDuration(lag)} behind`,
    lost >= 1 && `${formatDuration(lost)} of speech could not be sent`,
    listening && maxSeconds !== undefined && `This server stops after ${maxSeconds} s`,
  ].filter((hint) => hint !== false)
}
