import { type SubmitEvent, useCallback, useId, useRef, useState } from 'react'
import { useSelector } from 'react-redux'

import type { Admission } from '../live/admission.ts'
import { readSetting, writeSetting } from '../shared/settings.ts'
import { showLevel } from './loudness.ts'
import { MicrophoneSelect } from './MicrophoneSelect.tsx'
import { selectMicrophones } from './microphonesSlice.ts'
import styles from './SpeakerPanel.module.css'
import { SpeakingStatus } from './SpeakingStatus.tsx'
import { type Phase, selectPhase } from './speakingSlice.ts'
import { SpokenLanguageSelect } from './SpokenLanguageSelect.tsx'
import { selectSpokenLanguage } from './spokenLanguageSlice.ts'
import { useSpeaking } from './useSpeaking.ts'
import { useWakeLock } from './useWakeLock.ts'

/** The longest name that the service accepts. */
const LONGEST_NAME = 64

const BUTTON: Record<Phase, string> = {
  idle: 'Start',
  asking: 'Cancel',
  connecting: 'Cancel',
  listening: 'Stop',
  waiting: 'Cancel',
  reconnecting: 'Stop',
  stopping: 'Stopping',
}

interface Props {
  conversation: string
  /** Gets tickets; undefined in an open environment. */
  admission: Admission | undefined
}

/** The speaker's controls: a name, a microphone, a language, a button, and the stream's state. */
export function SpeakerPanel({ conversation, admission }: Props) {
  const phase = useSelector(selectPhase)
  const { chosen: microphone } = useSelector(selectMicrophones)
  const { chosen: language } = useSelector(selectSpokenLanguage)
  const [name, setName] = useState(() => readSetting('name'))
  const nameId = useId()
  const meter = useRef<HTMLDivElement>(null)
  // Ten times a second, so the element is changed without a render.
  const onLevel = useCallback((level: number) => {
    if (meter.current !== null) showLevel(meter.current, level)
  }, [])
  const { start, stop, giveUp, switchTo } = useSpeaking(conversation, onLevel, admission)
  useWakeLock(phase !== 'idle')

  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    if (phase !== 'idle') {
      stop()
      return
    }
    const trimmed = name.trim()
    writeSetting('name', trimmed)
    start(trimmed, microphone, language)
  }

  return (
    <form className={styles.panel} aria-label="Speak" onSubmit={submit} data-phase={phase}>
      <div className={styles.field}>
        <label htmlFor={nameId}>Your name</label>
        <input
          id={nameId}
          value={name}
          maxLength={LONGEST_NAME}
          placeholder="Speaker"
          autoComplete="nickname"
          spellCheck={false}
          disabled={phase !== 'idle'}
          onChange={(event) => {
            setName(event.target.value)
          }}
        />
      </div>
      <MicrophoneSelect
        className={styles.field}
        disabled={phase === 'asking' || phase === 'stopping'}
        onChoose={switchTo}
      />
      <SpokenLanguageSelect
        className={`${styles.field} ${styles.spoken}`}
        disabled={phase !== 'idle'}
      />
      <div className={styles.state}>
        <SpeakingStatus onGiveUp={giveUp} />
        <div className={styles.meter} aria-hidden="true">
          <div ref={meter} className={styles.level} />
        </div>
      </div>
      <button
        type="submit"
        className={phase === 'idle' ? styles.start : styles.stop}
        disabled={phase === 'stopping'}
      >
        {BUTTON[phase]}
      </button>
    </form>
  )
}
