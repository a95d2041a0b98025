import { type SubmitEvent, useId, useState } from 'react'

import type { Conversation, NewRole, Role } from '../api.ts'
import styles from './accounts.module.css'
import {
  useGetMeQuery,
  useGiveRoleMutation,
  useLazyFindPersonQuery,
  useListPeopleInfiniteQuery,
  useRemovePersonMutation,
} from './api.ts'
import type { Refusal } from './refusals.ts'
import { RefusalNotice, toProblem } from './RefusalNotice.tsx'
import { useFocusTarget } from './useFocusTarget.ts'

type SharedRole = NewRole['role']

const NOBODY: Refusal = {
  reason: 'nobody',
  isTransient: false,
  title: 'Nobody here has this e-mail address.',
  advice: 'Check it, or invite the person first.',
}

interface Props {
  conversation: string
  people: NonNullable<Conversation['people']>
}

/** The people with a role in a conversation, for its owner. */
export function RolesOfPeople({ conversation, people }: Props) {
  const { data: me } = useGetMeQuery(undefined)
  const isAdministrator = me?.isAdministrator === true
  // Only administrators may know whose id is whose.
  const known = useListPeopleInfiniteQuery(undefined, { skip: !isAdministrator })
  const emails = new Map(
    known.data?.pages.flatMap((page) => page.people).map(({ subject, email }) => [subject, email]),
  )
  const [heading, focusHeading] = useFocusTarget()
  const given = Object.entries(people)
  return (
    <section aria-labelledby={`${conversation}-people`}>
      <h3 id={`${conversation}-people`} ref={heading} tabIndex={-1}>
        People with a role
      </h3>
      {given.length === 0 && <p className={styles.soft}>Nobody but you.</p>}
      <ul className={styles.list}>
        {given.map(([subject, role]) => (
          <PersonRow
            key={subject}
            conversation={conversation}
            subject={subject}
            name={emails.get(subject) ?? subject}
            role={role}
            onRemoved={focusHeading}
          />
        ))}
      </ul>
      <NewPerson conversation={conversation} knowsEmails={known.isSuccess} />
    </section>
  )
}

function PersonRow({
  conversation,
  subject,
  name,
  role,
  onRemoved,
}: {
  conversation: string
  subject: string
  name: string
  role: Role
  onRemoved: () => void
}) {
  const [give, giving] = useGiveRoleMutation()
  const [remove, removing] = useRemovePersonMutation()
  const takeAway = async () => {
    const { error } = await remove({ id: conversation, subject })
    if (error === undefined) onRemoved()
  }
  return (
    <li className={styles.row}>
      <div className={styles.what}>
        <span className={name === subject ? styles.id : undefined}>{name}</span>
        <RefusalNotice problem={toProblem(removing.error ?? giving.error)} />
      </div>
      <div className={styles.tools}>
        <RoleSelect
          label={`Role of ${name}`}
          role={role === 'speaker' ? 'speaker' : 'reader'}
          onChange={(wanted) => void give({ id: conversation, subject, role: wanted })}
        />
        <button
          type="button"
          className="button"
          aria-label={`Remove ${name}`}
          disabled={removing.isLoading}
          onClick={() => void takeAway()}
        >
          Remove
        </button>
      </div>
    </li>
  )
}

function NewPerson({ conversation, knowsEmails }: { conversation: string; knowsEmails: boolean }) {
  const [find, finding] = useLazyFindPersonQuery()
  const [give, giving] = useGiveRoleMutation()
  const [person, setPerson] = useState('')
  const [role, setRole] = useState<SharedRole>('reader')
  const [given, setGiven] = useState('')
  const [refusal, setRefusal] = useState<unknown>()
  const id = useId()
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    setGiven('')
    setRefusal(undefined)
    const name = person.trim()
    let subject: string | null = name
    if (name.includes('@')) {
      const found = await find({ email: name })
      if (found.data === undefined) {
        setRefusal(found.error)
        return
      }
      subject = found.data
    }
    if (subject === null) {
      setRefusal(NOBODY)
      return
    }
    const { error } = await give({ id: conversation, subject, role })
    setRefusal(error)
    if (error !== undefined) return
    setGiven(`${name} has the role.`)
    setPerson('')
  }
  return (
    <form
      className={styles.form}
      aria-label="Give a person a role"
      onSubmit={(event) => void submit(event)}
    >
      <div className={styles.field}>
        <label htmlFor={id}>
          {knowsEmails ? 'E-mail address or id of a person' : 'Id of a person'}
        </label>
        <input
          id={id}
          value={person}
          required
          // As access/records.py has it; an address has an @ and no spaces.
          pattern={
            knowsEmails ? '[A-Za-z0-9_\\-]{1,64}|[^@\\s]+@[^@\\s]+' : '[A-Za-z0-9_\\-]{1,64}'
          }
          title={knowsEmails ? 'An e-mail address, or a person’s id' : 'A person’s id'}
          aria-describedby={`${id}-hint`}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          onChange={({ target }) => {
            setPerson(target.value)
          }}
        />
      </div>
      <RoleSelect label="Role" role={role} onChange={setRole} />
      <button type="submit" className="button" disabled={finding.isFetching || giving.isLoading}>
        Give the role
      </button>
      <p id={`${id}-hint`} className={`${styles.soft} ${styles.wide}`}>
        People find their id under “Account”. It is not checked whether somebody has this id.
      </p>
      <RefusalNotice problem={toProblem(refusal)} />
      <p role="status" className={styles.wide}>
        {given}
      </p>
    </form>
  )
}

function RoleSelect({
  label,
  role,
  onChange,
}: {
  label: string
  role: SharedRole
  onChange: (role: SharedRole) => void
}) {
  return (
    <select
      className={styles.select}
      aria-label={label}
      value={role}
      onChange={({ target }) => {
        onChange(target.value === 'speaker' ? 'speaker' : 'reader')
      }}
    >
      <option value="reader">may read</option>
      <option value="speaker">may read and speak</option>
    </select>
  )
}
