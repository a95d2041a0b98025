import { type SubmitEvent, useId, useState } from 'react'

import type { Key, Scope } from '../api.ts'
import { CopyLink } from '../conversation/CopyLink.tsx'
import styles from './accounts.module.css'
import {
  FRESH,
  useAddKeyMutation,
  useGetMeQuery,
  useListKeysQuery,
  useRemoveKeyMutation,
} from './api.ts'
import { DaysField } from './DaysField.tsx'
import { formatDay } from './formatDay.ts'
import { RefusalNotice, toProblem } from './RefusalNotice.tsx'
import { ShownOnce } from './ShownOnce.tsx'
import { useFocusTarget } from './useFocusTarget.ts'

const USUAL_DAYS = 90
const LONGEST_LABEL = 64

const SCOPES: readonly { scope: Scope; words: string }[] = [
  { scope: 'read', words: 'read your conversations' },
  { scope: 'speak', words: 'speak in them' },
  { scope: 'manage', words: 'create, rename and share them' },
]

/** The person's id, and the API keys of the person's programs. */
export function Account() {
  const keys = useListKeysQuery(undefined, FRESH)
  const [heading, focusHeading] = useFocusTarget()
  return (
    <>
      <h1>Your account</h1>
      <Identity />
      <h2>API keys</h2>
      <p className={styles.soft}>
        A program that has a key acts as you, within what the key may do, until it ends.
      </p>
      <NewKey />
      <h3 ref={heading} tabIndex={-1}>
        Keys that were made
      </h3>
      <RefusalNotice problem={toProblem(keys.error)} />
      {keys.isLoading && <p role="status">Loading</p>}
      {keys.data?.keys.length === 0 && <p className={styles.soft}>There is none.</p>}
      <ul className={styles.list}>
        {keys.data?.keys.map((key) => (
          <KeyRow key={key.keyId} apiKey={key} onRevoked={focusHeading} />
        ))}
      </ul>
      {keys.isError && (
        <button type="button" className="button" onClick={() => void keys.refetch()}>
          Try again
        </button>
      )}
    </>
  )
}

function Identity() {
  const { data: me, error } = useGetMeQuery(undefined)
  return (
    <>
      <h2>Your id</h2>
      <p className={styles.soft}>
        Give it to people who want to let you read or speak in their conversations. It is no secret.
      </p>
      <RefusalNotice problem={toProblem(error)} />
      {me !== undefined && (
        <div className={styles.form}>
          <code className={styles.id}>{me.subject}</code>
          <CopyLink what="Id" purpose="" address={me.subject} />
        </div>
      )}
    </>
  )
}

function NewKey() {
  const [add, { data: made, error, isLoading }] = useAddKeyMutation()
  const [label, setLabel] = useState('')
  const [days, setDays] = useState(USUAL_DAYS)
  const [scopes, setScopes] = useState<readonly Scope[]>(['read'])
  const id = useId()
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const { data } = await add({ label: label.trim(), scopes: [...scopes], days })
    if (data !== undefined) setLabel('')
  }
  return (
    <form className={styles.form} aria-label="New key" onSubmit={(event) => void submit(event)}>
      <fieldset className={styles.choice}>
        <legend>Whoever has the key may</legend>
        {SCOPES.map(({ scope, words }) => (
          <label key={scope}>
            <input
              type="checkbox"
              checked={scopes.includes(scope)}
              onChange={({ target }) => {
                setScopes(
                  target.checked ? [...scopes, scope] : scopes.filter((other) => other !== scope),
                )
              }}
            />
            {words}
          </label>
        ))}
      </fieldset>
      <div className={styles.field}>
        <label htmlFor={id}>Label, for you to know it by</label>
        <input
          id={id}
          value={label}
          required
          pattern=".*\S.*"
          maxLength={LONGEST_LABEL}
          autoComplete="off"
          onChange={({ target }) => {
            setLabel(target.value)
          }}
        />
      </div>
      <DaysField days={days} onChange={setDays} />
      <button type="submit" className={styles.primary} disabled={isLoading || scopes.length === 0}>
        Make a key
      </button>
      <RefusalNotice problem={toProblem(error)} />
      <div role="status" className={styles.wide}>
        {made !== undefined && <ShownOnce what="Key" purpose="" secret={made.secret} />}
      </div>
    </form>
  )
}

function KeyRow({ apiKey, onRevoked }: { apiKey: Key; onRevoked: () => void }) {
  const [remove, { isLoading, error }] = useRemoveKeyMutation()
  const { keyId, label, scopes, expiresAt } = apiKey
  const [now] = useState(Date.now)
  const hasEnded = Date.parse(expiresAt) <= now
  const may = SCOPES.filter(({ scope }) => scopes.includes(scope)).map(({ words }) => words)
  const revoke = async () => {
    const { error: refusal } = await remove({ keyId })
    if (refusal === undefined) onRevoked()
  }
  return (
    <li className={styles.row}>
      <div className={styles.what}>
        <strong>{label}</strong>
        <p className={styles.soft}>
          {hasEnded ? 'Ended' : 'Until'} <time dateTime={expiresAt}>{formatDay(expiresAt)}</time>:{' '}
          {may.join('; ')}
        </p>
        <RefusalNotice problem={toProblem(error)} />
      </div>
      <button
        type="button"
        className="button"
        aria-label={`Revoke ${label}`}
        disabled={isLoading}
        onClick={() => void revoke()}
      >
        Revoke
      </button>
    </li>
  )
}
