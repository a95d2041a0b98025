import { type RefObject, useCallback, useEffect, useRef, useState } from 'react'

/** A distance from the end that still counts as the end, in CSS pixels. */
const NEAR = 48

/** Whether the browser keeps the text in its place when something is inserted above it. */
const isAnchored = () => CSS.supports('overflow-anchor', 'auto')

interface StickToEnd {
  /** The element that scrolls. */
  scroller: RefObject<HTMLDivElement | null>
  /** Its only child, whose size is observed. */
  content: RefObject<HTMLDivElement | null>
  /** False while the reader has scrolled up. */
  stuck: boolean
  jump: () => void
}

/**
 * Keeps a growing text scrolled to its end, unless the reader has scrolled up. Then the text stays
 * where it is, also when a late line is inserted above it.
 */
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
    let place: Place | undefined
    const onScroll = () => {
      const below = box.scrollHeight - box.clientHeight - box.scrollTop
      if (below < NEAR) follow(true)
      // Text that grows between two events also moves the end away, but only a reader scrolls up.
      else if (box.scrollTop < top - 1) follow(false)
      top = box.scrollTop
      if (!isAnchored()) place = findPlace(box)
    }
    const observer = new ResizeObserver(() => {
      if (following.current) toEnd()
      else if (place?.line.isConnected === true) {
        box.scrollTop += measure(box, place.line) - place.below
      }
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

/** A line that the reader sees, and how far below the edge it is, in CSS pixels. */
interface Place {
  line: Element
  below: number
}

function findPlace(box: Element): Place | undefined {
  const line = [...box.querySelectorAll('article')].find((each) => measure(box, each) >= 0)
  return line === undefined ? undefined : { line, below: measure(box, line) }
}

function measure(box: Element, line: Element): number {
  return line.getBoundingClientRect().top - box.getBoundingClientRect().top
}
