import { useId, useMemo } from 'react'
import { useSelector } from 'react-redux'

import { selectLanguages } from './languageSlice.ts'
import { sortByName, nameLanguage, findOffered, isAllowed } from './tags.ts'
import styles from './LanguageSelect.module.css'

const STAND_IN = 'Trial only: another language marks the words and does not translate them'

interface Props {
  /** The only languages that may be chosen; undefined for all that are offered. */
  allowed?: readonly string[] | undefined
  /** Gets a BCP 47 tag; undefined for the originals. */
  onChoose: (language: string | undefined) => void
  /** Whether the originals are shown below their translations. */
  originals: boolean
  onOriginals: (shown: boolean) => void
}

/** The choice of the language in which captions are read. Hidden where there is no choice. */
export function LanguageSelect({ allowed, onChoose, originals, onOriginals }: Props) {
  const { chosen: language, offered: all, isStandIn } = useSelector(selectLanguages)
  const offered = useMemo(() => all.filter((tag) => isAllowed(tag, allowed)), [all, allowed])
  const named = useMemo(() => sortByName(offered), [offered])
  const id = useId()
  if (offered.length === 0 && language === undefined) return null
  const known = language === undefined ? '' : findOffered(language, offered)
  return (
    <div className={styles.group} role="group" aria-label="Language of the captions">
      <label htmlFor={id}>Captions in</label>
      <select
        id={id}
        className={styles.select}
        value={known ?? language}
        aria-describedby={isStandIn ? `${id}-stand-in` : undefined}
        onChange={({ target }) => {
          onChoose(target.value === '' ? undefined : target.value)
        }}
      >
        <option value="">Original</option>
        {/* The list has not arrived, or the server offers the language under another tag. */}
        {known === undefined && language !== undefined && (
          <option value={language}>{nameLanguage(language)}</option>
        )}
        {named.map(({ tag, name }) => (
          <option key={tag} value={tag}>
            {isStandIn ? `${name} (trial)` : name}
          </option>
        ))}
      </select>
      {isStandIn && (
        <span id={`${id}-stand-in`} className={styles.standIn}>
          {STAND_IN}
        </span>
      )}
      {language !== undefined && (
        <label className={styles.originals}>
          <input
            type="checkbox"
            checked={originals}
            onChange={({ target }) => {
              onOriginals(target.checked)
            }}
          />
          with originals
        </label>
      )}
    </div>
  )
}
