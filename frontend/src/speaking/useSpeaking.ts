import { useCallback, useEffect, useRef } from 'react'
import { useDispatch } from 'react-redux'

import { buildSpeakerUrl } from '../live/endpoints.ts'
import { SpeakingSession } from './speakingSession.ts'

interface Speaking {
  start: (name: string, microphone: string, language: string | undefined) => void
  stop: () => void
  switchTo: (microphone: string) => void
}

/** Starts and stops the page's speaking session, one at a time. */
export function useSpeaking(conversation: string, onLevel: (level: number) => void): Speaking {
  const dispatch = useDispatch()
  const session = useRef<SpeakingSession>(undefined)

  useEffect(() => {
    const onOnline = () => session.current?.retryNow()
    window.addEventListener('online', onOnline)
    return () => {
      window.removeEventListener('online', onOnline)
      void session.current?.stop()
    }
  }, [])

  const start = useCallback(
    (name: string, microphone: string, language: string | undefined) => {
      if (session.current?.isOver === false) return
      const url = buildSpeakerUrl(location.origin, conversation, name, language)
      session.current = new SpeakingSession(url, dispatch, onLevel)
      void session.current.start(microphone)
    },
    [conversation, dispatch, onLevel],
  )
  const stop = useCallback(() => void session.current?.stop(), [])
  const switchTo = useCallback(
    (microphone: string) => void session.current?.switchTo(microphone),
    [],
  )
  return { start, stop, switchTo }
}
