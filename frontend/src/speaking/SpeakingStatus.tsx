import { useSelector } from 'react-redux'

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
  stopping: 'Microphone off, the last words are on their way',
}

/** The state of the stream in words, with hints on what goes wrong. */
export function SpeakingStatus() {
  const speaking = useSelector(selectSpeaking)
  const { note } = useSelector(selectSpokenLanguage)
  return (
    <div className={styles.status}>
      <p
        className={styles.phase}
        role="status"
        aria-label="Microphone state"
        data-phase={speaking.phase}
      >
        {WORDS[speaking.phase]}
      </p>
      {[...listHints(speaking), note].filter(Boolean).map((hint) => (
        <p key={hint} className={styles.hint}>
          {hint}
        </p>
      ))}
    </div>
  )
}

function listHints({ phase, maxSeconds, lag, lost, silent }: SpeakingState): string[] {
  const listening = phase === 'listening'
  return [
    silent && 'No sound from the microphone. Is it muted?',
    (listening || phase === 'stopping') &&
      lag > NOTABLE_LAG &&
      `Captions are ${Math.round(lag)} s behind`,
    lost >= 1 && `${Math.round(lost)} s of speech could not be sent`,
    listening && maxSeconds !== undefined && `This server stops after ${maxSeconds} s`,
  ].filter((hint) => hint !== false)
}
