import { type SubmitEvent, useEffect, useId, useRef, useState } from 'react'

import type { Conversation, Role } from '../api.ts'
import { addressOfConversation } from '../shared/arrival.ts'
import type { Problem } from '../shared/problem.ts'
import styles from './accounts.module.css'
import {
  FRESH,
  useCreateConversationMutation,
  useListConversationsInfiniteQuery,
  useRenameConversationMutation,
} from './api.ts'
import { formatDay } from './formatDay.ts'
import { RefusalNotice, toProblem } from './RefusalNotice.tsx'

/** The longest title that the API accepts. */
const LONGEST_TITLE = 200

const ROLES: Record<Role, string> = {
  owner: 'You own it',
  speaker: 'You may speak',
  reader: 'You may read',
}

interface Props {
  problem: Problem | undefined
  /** Called before one of them is opened. */
  onOpen: (id: string) => void
}

/** The conversations of the person who is signed in. */
export function Home({ problem, onOpen }: Props) {
  const list = useListConversationsInfiniteQuery(undefined, FRESH)
  const conversations = list.data?.pages.flatMap((page) => page.conversations) ?? []
  return (
    <>
      <h1>Your conversations</h1>
      <RefusalNotice problem={problem} />
      <RefusalNotice problem={toProblem(list.error)} />
      <NewConversation />
      {list.isLoading && <p role="status">Loading</p>}
      {list.isSuccess && conversations.length === 0 && (
        <p className={styles.soft}>There is none yet. Give the first one a title.</p>
      )}
      {conversations.length > 0 && (
        <ul className={styles.list}>
          {conversations.map((conversation) => (
            <Row key={conversation.conversationId} conversation={conversation} onOpen={onOpen} />
          ))}
        </ul>
      )}
      {list.isError && (
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
          Show older ones
        </button>
      )}
    </>
  )
}

function NewConversation() {
  const [create, { isLoading, error }] = useCreateConversationMutation()
  const [title, setTitle] = useState('')
  const id = useId()
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const { data } = await create({ title: title.trim() })
    if (data !== undefined) location.hash = addressOfConversation(data.conversationId)
  }
  return (
    <form
      className={styles.form}
      aria-label="New conversation"
      onSubmit={(event) => void submit(event)}
    >
      <div className={styles.field}>
        <label htmlFor={id}>Title of a new conversation</label>
        <input
          id={id}
          value={title}
          required
          pattern=".*\S.*"
          maxLength={LONGEST_TITLE}
          autoComplete="off"
          onChange={({ target }) => {
            setTitle(target.value)
          }}
        />
      </div>
      <button type="submit" className={styles.primary} disabled={isLoading}>
        New conversation
      </button>
      <RefusalNotice problem={toProblem(error)} />
    </form>
  )
}

function Row({ conversation, onOpen }: { conversation: Conversation } & Pick<Props, 'onOpen'>) {
  const { conversationId, title, role, createdAt } = conversation
  const [isRenaming, setRenaming] = useState(false)
  const opener = useRef<HTMLButtonElement>(null)
  const wasRenaming = useRef(false)
  useEffect(() => {
    // The form that had the focus is gone.
    if (wasRenaming.current && !isRenaming) opener.current?.focus()
    wasRenaming.current = isRenaming
  }, [isRenaming])
  return (
    <li className={styles.row}>
      {isRenaming ? (
        <Rename
          conversation={conversation}
          onDone={() => {
            setRenaming(false)
          }}
        />
      ) : (
        <>
          <div className={styles.what}>
            <a
              href={addressOfConversation(conversationId)}
              onClick={() => {
                onOpen(conversationId)
              }}
            >
              {title}
            </a>
            <p className={styles.soft}>
              {ROLES[role]}, since <time dateTime={createdAt}>{formatDay(createdAt)}</time>
            </p>
          </div>
          {role === 'owner' && (
            <button
              ref={opener}
              type="button"
              className="button"
              aria-label={`Rename ${title}`}
              onClick={() => {
                setRenaming(true)
              }}
            >
              Rename
            </button>
          )}
        </>
      )}
    </li>
  )
}

function Rename({
  conversation: { conversationId, title, version },
  onDone,
}: {
  conversation: Conversation
  onDone: () => void
}) {
  const [rename, { isLoading, error }] = useRenameConversationMutation()
  const [wanted, setWanted] = useState(title)
  const id = useId()
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const { data } = await rename({ id: conversationId, title: wanted.trim(), version })
    if (data !== undefined) onDone()
  }
  return (
    <form
      className={styles.form}
      aria-label={`Rename ${title}`}
      onSubmit={(event) => void submit(event)}
      onKeyDown={({ key }) => {
        if (key === 'Escape') onDone()
      }}
    >
      <div className={styles.field}>
        <label htmlFor={id}>New title</label>
        <input
          id={id}
          value={wanted}
          required
          pattern=".*\S.*"
          maxLength={LONGEST_TITLE}
          autoComplete="off"
          autoFocus
          onChange={({ target }) => {
            setWanted(target.value)
          }}
        />
      </div>
      <button type="submit" className="button" disabled={isLoading}>
        Save
      </button>
      <button type="button" className="button" onClick={onDone}>
        Cancel
      </button>
      <RefusalNotice problem={toProblem(error)} />
    </form>
  )
}
