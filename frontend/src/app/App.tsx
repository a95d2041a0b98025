import { type ReactNode, useEffect, useState } from 'react'
import { useSelector } from 'react-redux'

import { Captions } from '../conversation/Captions.tsx'
import { CopyLink } from '../conversation/CopyLink.tsx'
import { addressOf } from '../conversation/conversationId.ts'
import { LanguageSelect } from '../language/LanguageSelect.tsx'
import { withLanguage } from '../language/chosenLanguage.ts'
import { selectLanguage } from '../language/languageSlice.ts'
import type { Admission } from '../live/admission.ts'
import { useSetting } from '../shared/useSetting.ts'
import { SpeakerPanel } from '../speaking/SpeakerPanel.tsx'
import { selectPhase } from '../speaking/speakingSlice.ts'
import { ViewingStatus } from '../viewing/ViewingStatus.tsx'
import styles from './App.module.css'
import { Notices } from './Notices.tsx'
import { TextSizeControl, useTextSize } from './TextSize.tsx'

interface Props {
  conversation: string
  /** The page was opened with a listener's link. */
  listening: boolean
  /** Gets the language that the user chooses, a BCP 47 tag; undefined for the originals. */
  onLanguage: (language: string | undefined) => void
  /** In an environment with accounts: what the person or guest has in this conversation. */
  account?: AccountView
}

export interface AccountView {
  title: string
  maySpeak: boolean
  /** The only languages of translations; undefined for all that are offered. */
  languages: readonly string[] | undefined
  /** Gets tickets to speak. */
  speaking: Admission
  /** Above the conversation. */
  banner?: ReactNode
  /** In place of the listeners' link. */
  tools: ReactNode
}

export function App({ conversation, listening, onLanguage, account }: Props) {
  const [speaks, setSpeaks] = useState(!listening)
  const [size, setSize] = useTextSize()
  const [originalsSetting, setOriginals] = useSetting('originals')
  const originals = originalsSetting === 'shown'
  const language = useSelector(selectLanguage)
  const phase = useSelector(selectPhase)
  useEffect(() => {
    history.replaceState(null, '', withLanguage(location.href, language))
  }, [language])

  const speakToo = () => {
    history.replaceState(null, '', addressOf(location.href, conversation))
    setSpeaks(true)
  }

  return (
    <div className={styles.page} data-text-size={size}>
      {account?.banner}
      <header className={styles.header}>
        <h1 className={styles.brand}>Cloudscribe</h1>
        <p
          className={`${styles.conversation} ${account === undefined ? '' : styles.title}`}
          title={account?.title ?? conversation}
        >
          <span className="visually-hidden">Conversation </span>
          {account?.title ?? conversation}
        </p>
        <ViewingStatus />
        <div className={styles.tools}>
          <TextSizeControl size={size} onChange={setSize} />
          {account === undefined ? (
            <CopyLink
              address={withLanguage(addressOf(location.href, conversation, true), language)}
            />
          ) : (
            account.tools
          )}
        </div>
        <LanguageSelect
          allowed={account?.languages}
          onChoose={onLanguage}
          originals={originals}
          onOriginals={(shown) => {
            setOriginals(shown ? 'shown' : '')
          }}
        />
      </header>
      <main className={styles.main}>
        <Captions
          speaks={speaks}
          isListening={phase === 'listening' || phase === 'reconnecting'}
          originals={originals}
        />
      </main>
      <Notices />
      {speaks && <SpeakerPanel conversation={conversation} admission={account?.speaking} />}
      {!speaks && account?.maySpeak !== false && (
        <aside className={styles.listener} aria-label="Speak">
          <button type="button" className="button" onClick={speakToo}>
            Speak in this conversation
          </button>
        </aside>
      )}
    </div>
  )
}
