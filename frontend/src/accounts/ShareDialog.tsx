import { type SubmitEvent, useEffect, useId, useRef, useState } from 'react'

import type { Link } from '../api.ts'
import { nameLanguage, sortByName } from '../language/tags.ts'
import { addressOfLink } from '../shared/arrival.ts'
import styles from './accounts.module.css'
import {
  FRESH,
  useGetConversationQuery,
  useRevokeLinkMutation,
  useShareConversationMutation,
} from './api.ts'
import { DaysField } from './DaysField.tsx'
import { formatDay } from './formatDay.ts'
import { RefusalNotice, toProblem } from './RefusalNotice.tsx'
import { RolesOfPeople } from './RolesOfPeople.tsx'
import { ShownOnce } from './ShownOnce.tsx'
import { useFocusTarget } from './useFocusTarget.ts'

const USUAL_DAYS = 30
const LONGEST_LABEL = 64
/** The most languages of a link. */
const MOST_LANGUAGES = 10

interface Props {
  conversation: string
  /** BCP 47 tags of the translations that the server offers. */
  offered: readonly string[]
}

/** Share links and roles: a button, and a dialog for the conversation's owner. */
export function Share({ conversation, offered }: Props) {
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <button
        type="button"
        className="button"
        aria-haspopup="dialog"
        onClick={() => {
          setOpen(true)
        }}
      >
        Share
      </button>
      {isOpen && (
        <ShareDialog
          conversation={conversation}
          offered={offered}
          onClose={() => {
            setOpen(false)
          }}
        />
      )}
    </>
  )
}

export function ShareDialog({ conversation, offered, onClose }: Props & { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    // A modal dialog keeps the focus inside, and gives it back at the end.
    const element = dialog.current
    if (element?.open === false) element.showModal()
  }, [])
  const { data, error, isLoading } = useGetConversationQuery({ id: conversation }, FRESH)
  const [links, focusLinks] = useFocusTarget()
  return (
    <dialog ref={dialog} className={styles.dialog} aria-labelledby={heading} onClose={onClose}>
      <div className={styles.bar}>
        <h2 id={heading}>Share this conversation</h2>
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
      <NewLink conversation={conversation} offered={offered} />
      <h3 ref={links} tabIndex={-1}>
        Links that work now
      </h3>
      <RefusalNotice problem={toProblem(error)} />
      {isLoading && <p role="status">Loading</p>}
      {data?.links?.length === 0 && <p className={styles.soft}>There is none.</p>}
      <ul className={styles.list}>
        {data?.links?.map((link) => (
          <LinkRow
            key={link.linkId}
            conversation={conversation}
            link={link}
            onRevoked={focusLinks}
          />
        ))}
      </ul>
      {data !== undefined && (
        <RolesOfPeople conversation={conversation} people={data.people ?? {}} />
      )}
    </dialog>
  )
}

function NewLink({ conversation, offered }: Props) {
  const [share, { data: made, error, isLoading }] = useShareConversationMutation()
  const [role, setRole] = useState<Link['role']>('reader')
  const [label, setLabel] = useState('')
  const [days, setDays] = useState(USUAL_DAYS)
  const [languages, setLanguages] = useState<readonly string[]>([])
  const id = useId()
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    void share({
      id: conversation,
      role,
      days,
      ...(label.trim() === '' ? {} : { label: label.trim() }),
      ...(languages.length === 0 ? {} : { languages: [...languages] }),
    })
  }
  return (
    <form className={styles.form} aria-label="New link" onSubmit={submit}>
      <fieldset className={styles.choice}>
        <legend>Whoever has the link may</legend>
        <label>
          <input
            type="radio"
            name={`${id}-role`}
            checked={role === 'reader'}
            onChange={() => {
              setRole('reader')
            }}
          />
          read
        </label>
        <label>
          <input
            type="radio"
            name={`${id}-role`}
            checked={role === 'speaker'}
            onChange={() => {
              setRole('speaker')
            }}
          />
          read and speak
        </label>
      </fieldset>
      <div className={styles.field}>
        <label htmlFor={`${id}-label`}>Label, for you to know it by</label>
        <input
          id={`${id}-label`}
          value={label}
          maxLength={LONGEST_LABEL}
          placeholder="Link"
          autoComplete="off"
          onChange={({ target }) => {
            setLabel(target.value)
          }}
        />
      </div>
      <DaysField days={days} onChange={setDays} />
      {offered.length > 0 && (
        <details className={styles.choice}>
          <summary>
            {languages.length === 0
              ? 'Translations: all'
              : `Translations: ${languages.map((tag) => nameLanguage(tag)).join(', ')}`}
          </summary>
          <fieldset className={styles.languages}>
            <legend>Only these, at most {MOST_LANGUAGES}</legend>
            {sortByName(offered).map(({ tag, name }) => {
              const isChosen = languages.includes(tag)
              return (
                <label key={tag}>
                  <input
                    type="checkbox"
                    checked={isChosen}
                    disabled={!isChosen && languages.length >= MOST_LANGUAGES}
                    onChange={({ target }) => {
                      setLanguages(
                        target.checked
                          ? [...languages, tag]
                          : languages.filter((other) => other !== tag),
                      )
                    }}
                  />
                  {name}
                </label>
              )
            })}
          </fieldset>
        </details>
      )}
      <button type="submit" className={styles.primary} disabled={isLoading}>
        Make a link
      </button>
      <RefusalNotice problem={toProblem(error)} />
      <div role="status" className={styles.wide}>
        {made !== undefined && (
          <ShownOnce
            what="Link"
            purpose={made.link.role === 'speaker' ? 'to speak' : 'to read'}
            secret={addressOfLink(location.origin, conversation, made.secret)}
          />
        )}
      </div>
    </form>
  )
}

function LinkRow({
  conversation,
  link,
  onRevoked,
}: {
  conversation: string
  link: Link
  onRevoked: () => void
}) {
  const [revoke, { isLoading, error }] = useRevokeLinkMutation()
  const { linkId, label, role, expiresAt, languages } = link
  const takeBack = async () => {
    const { error: refusal } = await revoke({ id: conversation, linkId })
    if (refusal === undefined) onRevoked()
  }
  return (
    <li className={styles.row}>
      <div className={styles.what}>
        <strong>{label}</strong>
        <p className={styles.soft}>
          {role === 'speaker' ? 'To read and speak' : 'To read'}, until{' '}
          <time dateTime={expiresAt}>{formatDay(expiresAt)}</time>
          {languages ? `, in ${languages.map((tag) => nameLanguage(tag)).join(', ')}` : ''}
        </p>
        <RefusalNotice problem={toProblem(error)} />
      </div>
      <button
        type="button"
        className="button"
        aria-label={`Revoke ${label}`}
        disabled={isLoading}
        onClick={() => void takeBack()}
      >
        Revoke
      </button>
    </li>
  )
}
