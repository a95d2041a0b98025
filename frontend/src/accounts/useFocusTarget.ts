import { type RefObject, useRef } from 'react'

/**
 * Where the focus goes after the button that had it is gone: a heading with `tabIndex={-1}`.
 * Otherwise a keyboard would start again at the top of the page.
 */
export function useFocusTarget(): [RefObject<HTMLHeadingElement | null>, () => void] {
  const target = useRef<HTMLHeadingElement>(null)
  return [target, () => target.current?.focus()]
}
