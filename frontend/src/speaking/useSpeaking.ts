import type { Dispatch } from '@reduxjs/toolkit'
import { useCallback, useEffect, useRef } from 'react'
import { useDispatch } from 'react-redux'

import type { Admission } from '../live/admission.ts'
import { buildSpeakerUrl } from '../live/endpoints.ts'
import { SpeakingSession } from './speakingSession.ts'

interface Speaking {
  start: (name: string, microphone: string, language: string | undefined) => void
  stop: () => void
  /** Ends a session that is stopping, without the last words. */
  giveUp: () => void
  switchTo: (microphone: string) => void
}

/**
 * Starts and stops the page's speaking session, one at a time.
 *
 * @param admission gets tickets; undefined in an open environment
 */
export function useSpeaking(
  conversation: string,
  onLevel: (level: number) => void,
  admission: Admission | undefined,
): Speaking {
  const storeDispatch = useDispatch()
  const session = useRef<SpeakingSession>(undefined)
  const isShown = useRef(true)

  useEffect(() => {
    isShown.current = true
    const onOnline = () => session.current?.retryNow()
    const onPageHide = () => session.current?.leave()
    window.addEventListener('online', onOnline)
    window.addEventListener('pagehide', onPageHide)
    return () => {
      window.removeEventListener('online', onOnline)
      window.removeEventListener('pagehide', onPageHide)
      // The last words go to the server; the page may show another conversation by then.
      isShown.current = false
      void session.current?.stop()
    }
  }, [])

  const start = useCallback(
    (name: string, microphone: string, language: string | undefined) => {
      if (session.current?.isOver === false) return
      const url = buildSpeakerUrl(location.origin, conversation, name, language)
      const dispatch: Dispatch = (action) => (isShown.current ? storeDispatch(action) : action)
      session.current = new SpeakingSession(url, dispatch, onLevel, admission)
      void session.current.start(microphone)
    },
    [conversation, storeDispatch, onLevel, admission],
  )
  const stop = useCallback(() => void session.current?.stop(), [])
  const giveUp = useCallback(() => session.current?.giveUp(), [])
  const switchTo = useCallback(
    (microphone: string) => void session.current?.switchTo(microphone),
    [],
  )
  return { start, stop, giveUp, switchTo }
}
