import { type RefObject, useCallback, useEffect, useRef, useState } from 'react'

/** A distance from the end that still counts as the end, in CSS pixels. */
const NEAR = 48

interface StickToEnd {
  /** The element that scrolls. */
  scroller: RefObject<HTMLDivElement | null>
  /** Its only child, whose size is observed. */
  content: RefObject<HTMLDivElement | null>
  /** False while the reader has scrolled up. */
  stuck: boolean
  jump: () => void
}

/** Keeps a growing text scrolled to its end, unless the reader has scrolled up. */
export function useStickToEnd(): StickToEnd {
  const scroller = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const following = useRef(true)
  const [stuck, setStuck] = useState(true)

  const follow = useCallback((value: boolean) => {
    following.current = value
    setStuck(value)
  }, [])

  const toEnd = useCallback(() => {
    const box = scroller.current
    if (box !== null) box.scrollTop = box.scrollHeight
  }, [])

  useEffect(() => {
    const box = scroller.current
    if (box === null || content.current === null) return undefined
    let top = box.scrollTop
    const onScroll = () => {
      const below = box.scrollHeight - box.clientHeight - box.scrollTop
      if (below < NEAR) follow(true)
      // Text that grows between two events also moves the end away, but only a reader scrolls up.
      else if (box.scrollTop < top - 1) follow(false)
      top = box.scrollTop
    }
    const observer = new ResizeObserver(() => {
      if (following.current) toEnd()
    })
    observer.observe(box)
    observer.observe(content.current)
    box.addEventListener('scroll', onScroll, { passive: true })
    return () => {
      observer.disconnect()
      box.removeEventListener('scroll', onScroll)
    }
  }, [follow, toEnd])

  const jump = useCallback(() => {
    follow(true)
    toEnd()
  }, [follow, toEnd])

  return { scroller, content, stuck, jump }
}
