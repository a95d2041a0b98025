import { useEffect, useState } from 'react'

import { Captions } from '../conversation/Captions.tsx'
import { CopyLink } from '../conversation/CopyLink.tsx'
import { addressOf } from '../conversation/conversationId.ts'
import { LanguageSelect } from '../language/LanguageSelect.tsx'
import { withLanguage } from '../language/tags.ts'
import { SpeakerPanel } from '../speaking/SpeakerPanel.tsx'
import { ViewingStatus } from '../viewing/ViewingStatus.tsx'
import styles from './App.module.css'
import { Notices } from './Notices.tsx'
import { settings } from '../shared/settings.ts'
import { useAppSelector } from './store.ts'
import { TextSizeControl, useTextSize } from './TextSize.tsx'

interface Props {
  conversation: string
  /** The page was opened through a listener's link. */
  listening: boolean
  /** Reads a language, a BCP 47 tag, or the originals. */
  read: (language: string | undefined) => void
}

export function App({ conversation, listening, read }: Props) {
  const [speaks, setSpeaks] = useState(!listening)
  const [size, setSize] = useTextSize()
  const [originals, setOriginals] = useState(() => settings.read('originals') === 'shown')
  const language = useAppSelector((state) => state.conversation.language)
  useEffect(() => {
    history.replaceState(null, '', withLanguage(location.href, language))
  }, [language])

  const speakToo = () => {
    history.replaceState(null, '', addressOf(location.href, conversation))
    setSpeaks(true)
  }

  return (
    <div className={styles.page} data-text-size={size}>
      <header className={styles.header}>
        <h1 className={styles.brand}>Cloudscribe</h1>
        <p className={styles.conversation} title={conversation}>
          <span className="visually-hidden">Conversation </span>
          {conversation}
        </p>
        <ViewingStatus />
        <div className={styles.tools}>
          <TextSizeControl size={size} onChange={setSize} />
          <CopyLink
            address={withLanguage(addressOf(location.href, conversation, true), language)}
          />
        </div>
        <LanguageSelect
          onChoose={read}
          originals={originals}
          onOriginals={(shown) => {
            settings.write('originals', shown ? 'shown' : '')
            setOriginals(shown)
          }}
        />
      </header>
      <main className={styles.main}>
        <Captions speaks={speaks} originals={originals} />
      </main>
      <Notices />
      {speaks ? (
        <SpeakerPanel conversation={conversation} />
      ) : (
        <aside className={styles.listener} aria-label="Speak">
          <button type="button" className="button" onClick={speakToo}>
            Speak in this conversation
          </button>
        </aside>
      )}
    </div>
  )
}
