import { useEffect } from 'react'

/**
 * Keeps the screen on for as long as `wanted`: a phone that goes dark stops recording.
 *
 * Where the browser cannot or will not (a low battery), everything else works all the same.
 */
export function useWakeLock(wanted: boolean): void {
  useEffect(() => {
    if (!wanted || !('wakeLock' in navigator)) return undefined
    let lock: WakeLockSentinel | undefined
    let over = false

    const take = async () => {
      if (document.visibilityState !== 'visible') return
      try {
        const taken = await navigator.wakeLock.request('screen')
        if (over) await taken.release()
        else lock = taken
      } catch {
        // Refused; the next time that the page is shown it is asked for again.
      }
    }

    // Browsers let go of it whenever the page is hidden.
    const onVisibility = () => void take()
    document.addEventListener('visibilitychange', onVisibility)
    void take()
    return () => {
      over = true
      document.removeEventListener('visibilitychange', onVisibility)
      void lock?.release()
    }
  }, [wanted])
}
