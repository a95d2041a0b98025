import { type RefObject, useCallback, useEffect, useRef, useState } from 'react'

/** So close to the end counts as being there, in CSS pixels. */
const NEAR = 48

interface StickToEnd {
  /** For the element that scrolls. */
  scroller: RefObject<HTMLDivElement | null>
  /** For its only child, whose size is watched. */
  content: RefObject<HTMLDivElement | null>
  /** False while the reader looks at something earlier. */
  stuck: boolean
  jump: () => void
}

/** Keeps a growing text at its end, until the reader scrolls up; at the end it sticks again. */
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
      // Text that grows between two events also leaves the end, but only a reader goes up.
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
