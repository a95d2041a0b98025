import { useEffect, useRef } from 'react'

/** Moves the focus to the heading when another view is shown, where a screen reader goes on. */
export function useFocusOnHeading(view: string): void {
  const shown = useRef(view)
  useEffect(() => {
    if (shown.current === view) return
    shown.current = view
    const heading = document.querySelector('h1')
    if (heading === null) return
    heading.tabIndex = -1
    heading.focus()
  }, [view])
}
