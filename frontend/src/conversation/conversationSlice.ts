/**
 * What was said in the conversation.
 *
 * Messages come over two sockets (the page's own speech also over the speaker's) and again
 * after a reconnect, so every rule holds for late and repeated ones: an utterance is known by
 * its id, its first final stays, and nothing brings a partial back after it.
 */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import type { Final, Heartbeat, Partial, Snapshot } from '../protocol.ts'

/** Over which socket a message came. */
export type Source = 'speaker' | 'viewer'

/** A finished utterance. */
export interface Caption {
  utteranceId: string
  speaker: string
  language: string
  text: string
  /** ISO 8601; the moment at which the utterance began. */
  timestamp: string
  /** Seconds since the start of its stream. */
  startTime: number
}

/** An utterance that is still being spoken. */
export interface Draft {
  utteranceId: string
  speaker: string
  language: string
  text: string
  startTime: number
  source: Source
  /** When this page first and last heard of it, in milliseconds since 1970. */
  since: number
  heardAt: number
}

export interface ConversationState {
  /** In order of time. */
  captions: Caption[]
  /** The same by id, for a look-up that does not grow with the conversation. */
  known: Record<string, true>
  drafts: Record<string, Draft>
}

export interface Heard {
  message: Snapshot | Partial | Final | Heartbeat
  source: Source
  /** Milliseconds since 1970. */
  now: number
}

/** A draft nobody has spoken of for so long has lost its final, in milliseconds. */
export const DRAFT_LIFETIME = 30_000

const initialState: ConversationState = { captions: [], known: {}, drafts: {} }

export const conversationSlice = createSlice({
  name: 'conversation',
  initialState,
  reducers: {
    heard(state, { payload: { message, source, now } }: PayloadAction<Heard>) {
      switch (message.type) {
        case 'partial':
          revise(state, message, source, now)
          break
        case 'final':
          settle(state, message)
          break
        case 'snapshot':
          // Drafts of before the interruption may have ended unseen; living ones come again.
          dropDrafts(state, (draft) => draft.source === 'viewer')
          for (const utterance of message.utterances) settle(state, utterance)
          break
        case 'heartbeat':
          dropDrafts(state, (draft) => now - draft.heardAt > DRAFT_LIFETIME)
          break
      }
    },
    /** The own stream is over: from now on the viewer's socket alone speaks of its drafts. */
    ownStreamEnded(state) {
      dropDrafts(state, (draft) => draft.source === 'speaker')
    },
  },
})

export const { heard, ownStreamEnded } = conversationSlice.actions

function revise(state: ConversationState, message: Partial, source: Source, now: number): void {
  const { utteranceId, speaker, language, text, startTime } = message
  if (Object.hasOwn(state.known, utteranceId)) return
  const before = state.drafts[utteranceId]
  // Two sockets deliver the page's own speech at different times; one of them has to lead.
  if (before?.source === 'speaker' && source === 'viewer') return
  if (text === '') {
    dropDrafts(state, (draft) => draft.utteranceId === utteranceId)
    return
  }
  const since = before?.since ?? now
  state.drafts[utteranceId] = {
    ...{ utteranceId, speaker, language, text, startTime },
    ...{ source, since, heardAt: now },
  }
}

function settle(state: ConversationState, utterance: Caption): void {
  const { utteranceId, speaker, language, text, timestamp, startTime } = utterance
  dropDrafts(state, (draft) => draft.utteranceId === utteranceId)
  if (Object.hasOwn(state.known, utteranceId)) return
  state.known[utteranceId] = true
  const caption = { utteranceId, speaker, language, text, timestamp, startTime }
  // Nearly always the newest, so the place is searched from the end.
  const at = state.captions.findLastIndex((other) => compare(other, caption) <= 0)
  state.captions.splice(at + 1, 0, caption)
}

function dropDrafts(state: ConversationState, unwanted: (draft: Draft) => boolean): void {
  const drafts = Object.entries(state.drafts)
  const kept = drafts.filter(([, draft]) => !unwanted(draft))
  if (kept.length < drafts.length) state.drafts = Object.fromEntries(kept)
}

function compare(a: Caption, b: Caption): number {
  return (
    Date.parse(a.timestamp) - Date.parse(b.timestamp) ||
    a.startTime - b.startTime ||
    (a.utteranceId < b.utteranceId ? -1 : 1)
  )
}
