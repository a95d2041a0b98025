import { useEffect } from 'react'

/**
 * Keeps the screen on while `wanted`: a phone stops recording when its screen goes off.
 *
 * Where the browser does not support or refuses it (a low battery), nothing else changes.
 */
export function useWakeLock(wanted: boolean): void {
  useEffect(() => {
    if (!wanted || !('wakeLock' in navigator)) return undefined
    let lock: WakeLockSentinel | undefined
    let over = false

    const acquire = async () => {
      if (document.visibilityState !== 'visible') return
      try {
        const acquired = await navigator.wakeLock.request('screen')
        if (over) await acquired.release()
        else lock = acquired
      } catch {
        // The browser refused. The next attempt follows when the page is shown again.
      }
    }

    // Browsers release the lock whenever the page is hidden.
    const onVisibility = () => void acquire()
    document.addEventListener('visibilitychange', onVisibility)
    void acquire()
    return () => {
      over = true
      document.removeEventListener('visibilitychange', onVisibility)
      void lock?.release()
    }
  }, [wanted])
}
