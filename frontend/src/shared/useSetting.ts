import { useState } from 'react'

import { readSetting, type Setting, writeSetting } from './settings.ts'

/** A setting as React state. The setter also stores it. */
export function useSetting(name: Setting): [string, (value: string) => void] {
  const [value, setValue] = useState(() => readSetting(name))
  return [
    value,
    (next) => {
      writeSetting(name, next)
      setValue(next)
    },
  ]
}
