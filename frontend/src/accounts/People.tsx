import { type SubmitEvent, useId, useState } from 'react'

import type { PersonView } from '../api.ts'
import styles from './accounts.module.css'
import {
  FRESH,
  useChangePersonMutation,
  useInviteMutation,
  useListPeopleInfiniteQuery,
} from './api.ts'
import type { Refusal } from './refusals.ts'
import { RefusalNotice, toProblem } from './RefusalNotice.tsx'

const LONGEST_EMAIL = 254

/** Who may use this environment; for administrators. */
export function People({ issuer }: { issuer: string }) {
  const list = useListPeopleInfiniteQuery(undefined, FRESH)
  const people = list.data?.pages.flatMap((page) => page.people) ?? []
  const isElsewhere = (list.error as Refusal | undefined)?.reason === 'people_elsewhere'
  return (
    <>
      <h1>People</h1>
      {isElsewhere ? <Elsewhere issuer={issuer} /> : <Invite />}
      {!isElsewhere && <RefusalNotice problem={toProblem(list.error)} />}
      {list.isLoading && !isElsewhere && <p role="status">Loading</p>}
      {people.length > 0 && (
        <ul className={styles.list}>
          {people.map((person) => (
            <PersonRow key={person.subject} person={person} />
          ))}
        </ul>
      )}
      {list.isError && !isElsewhere && (
        <button type="button" className="button" onClick={() => void list.refetch()}>
          Try again
        </button>
      )}
      {list.hasNextPage && (
        <button
          type="button"
          className="button"
          disabled={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          Show more
        </button>
      )}
    </>
  )
}

function Invite() {
  const [invite, { data: invited, error, isLoading }] = useInviteMutation()
  const [email, setEmail] = useState('')
  const [isAdministrator, setAdministrator] = useState(false)
  const id = useId()
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const { data } = await invite({ email: email.trim(), isAdministrator })
    if (data === undefined) return
    setEmail('')
    setAdministrator(false)
  }
  return (
    <form
      className={styles.form}
      aria-label="Invite a person"
      onSubmit={(event) => void submit(event)}
    >
      <div className={styles.field}>
        <label htmlFor={id}>E-mail address of a new person</label>
        <input
          id={id}
          type="email"
          value={email}
          required
          maxLength={LONGEST_EMAIL}
          autoComplete="off"
          onChange={({ target }) => {
            setEmail(target.value)
          }}
        />
      </div>
      <button type="submit" className={styles.primary} disabled={isLoading}>
        Invite
      </button>
      <div className={styles.choice}>
        <label>
          <input
            type="checkbox"
            checked={isAdministrator}
            onChange={({ target }) => {
              setAdministrator(target.checked)
            }}
          />
          may manage people, too
        </label>
      </div>
      <RefusalNotice problem={toProblem(error)} />
      <p role="status" className={`${styles.soft} ${styles.wide}`}>
        {invited !== undefined &&
          `${invited.email ?? 'The person'} gets an e-mail with a first password.`}
      </p>
    </form>
  )
}

function PersonRow({ person }: { person: PersonView }) {
  const [change, { isLoading, error }] = useChangePersonMutation()
  const { user, email, subject, isAdministrator, isBlocked = false, hasJoined } = person
  const name = email ?? subject
  const facts = [
    isBlocked && 'Blocked',
    isAdministrator === true && 'Administrator',
    hasJoined !== true && 'Invited, has not signed in yet',
  ].filter((fact) => fact !== false)
  return (
    <li className={styles.row}>
      <div className={styles.what}>
        <strong>{name}</strong>
        <p className={styles.soft}>
          {facts.length > 0 && `${facts.join(', ')}. `}
          <span className={styles.id}>{subject}</span>
        </p>
        <RefusalNotice problem={toProblem(error)} />
      </div>
      <button
        type="button"
        className="button"
        aria-label={`${isBlocked ? 'Unblock' : 'Block'} ${name}`}
        // Not disabled meanwhile, because the button would lose the focus.
        aria-disabled={isLoading}
        onClick={() => {
          if (!isLoading) void change({ user, isBlocked: !isBlocked })
        }}
      >
        {isBlocked ? 'Unblock' : 'Block'}
      </button>
    </li>
  )
}

/** Where the issuer is somebody else's, people can be blocked here, and nothing more. */
function Elsewhere({ issuer }: { issuer: string }) {
  const [change, { data: changed, error, isLoading }] = useChangePersonMutation()
  const [user, setUser] = useState('')
  const id = useId()
  const block = (isBlocked: boolean) => void change({ user: user.trim(), isBlocked })
  return (
    <>
      <p>
        People are invited and removed at <strong>{new URL(issuer).host}</strong>, where everybody
        here signs in. You can block a person here, which also ends what the person has open.
      </p>
      <form
        className={styles.form}
        aria-label="Block a person"
        onSubmit={(event) => {
          event.preventDefault()
          block(true)
        }}
      >
        <div className={styles.field}>
          <label htmlFor={id}>The person’s subject (sub) there</label>
          <input
            id={id}
            value={user}
            required
            pattern=".*\S.*"
            maxLength={255}
            autoComplete="off"
            spellCheck={false}
            onChange={({ target }) => {
              setUser(target.value)
            }}
          />
        </div>
        <button type="submit" className={styles.primary} disabled={isLoading}>
          Block
        </button>
        <button
          type="button"
          className="button"
          disabled={isLoading || user.trim() === ''}
          onClick={() => {
            block(false)
          }}
        >
          Unblock
        </button>
        <RefusalNotice problem={toProblem(error)} />
        <p role="status" className={styles.wide}>
          {changed !== undefined &&
            `${changed.user} is ${changed.isBlocked === true ? 'blocked' : 'not blocked any more'}.`}
        </p>
      </form>
    </>
  )
}
