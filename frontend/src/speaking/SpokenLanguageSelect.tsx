import { useId, useMemo } from 'react'

import { settings } from '../shared/settings.ts'
import { useAppDispatch, useAppSelector } from '../app/store.ts'
import { byName } from '../language/tags.ts'
import { spokenSlice } from './spokenLanguageSlice.ts'

interface Props {
  className: string | undefined
  disabled: boolean
}

/** The choice of the language that is recognised. Not to be seen where there is none. */
export function SpokenSelect({ className, disabled }: Props) {
  const { offered, chosen } = useAppSelector((state) => state.spoken)
  const dispatch = useAppDispatch()
  const named = useMemo(() => byName(offered), [offered])
  const id = useId()
  if (offered.length < 2) return null
  return (
    <div className={className}>
      <label htmlFor={id}>You speak</label>
      <select
        id={id}
        value={chosen}
        disabled={disabled}
        onChange={({ target }) => {
          dispatch(spokenSlice.actions.chosen(target.value))
          settings.write('spoken', target.value)
        }}
      >
        {named.map(({ tag, name }) => (
          <option key={tag} value={tag}>
            {name}
          </option>
        ))}
      </select>
    </div>
  )
}
