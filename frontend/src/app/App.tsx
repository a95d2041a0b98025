import { useState } from 'react'

import { Captions } from '../conversation/Captions.tsx'
import { CopyLink } from '../conversation/CopyLink.tsx'
import { addressOf } from '../conversation/conversationId.ts'
import { SpeakerPanel } from '../speaking/SpeakerPanel.tsx'
import { ViewingStatus } from '../viewing/ViewingStatus.tsx'
import styles from './App.module.css'
import { Notices } from './Notices.tsx'
import { TextSizeControl, useTextSize } from './TextSize.tsx'

interface Props {
  conversation: string
  /** The page was opened through a listener's link. */
  listening: boolean
}

export function App({ conversation, listening }: Props) {
  const [speaks, setSpeaks] = useState(!listening)
  const [size, setSize] = useTextSize()

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
          <CopyLink address={addressOf(location.href, conversation, true)} />
        </div>
      </header>
      <main className={styles.main}>
        <Captions speaks={speaks} />
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
