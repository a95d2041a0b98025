import { useId, useMemo } from 'react'
import { useDispatch, useSelector } from 'react-redux'

import { sortByName } from '../language/tags.ts'
import { writeSetting } from '../shared/settings.ts'
import { selectSpokenLanguage, spokenLanguageSlice } from './spokenLanguageSlice.ts'

interface Props {
  className: string | undefined
  disabled: boolean
}

/** The choice of the language to recognise. Hidden where there is no choice. */
export function SpokenLanguageSelect({ className, disabled }: Props) {
  const { offered, chosen } = useSelector(selectSpokenLanguage)
  const dispatch = useDispatch()
  const named = useMemo(() => sortByName(offered), [offered])
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
          dispatch(spokenLanguageSlice.actions.chosen(target.value))
          writeSetting('spoken', target.value)
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
