/**
 * What was said in the conversation.
 *
 * Messages come over two sockets (the page's own speech also over the speaker's) and again
 * after a reconnect, so every rule holds for late and repeated ones: an utterance is known by
 * its id, its first final stays, and nothing brings a partial back after it.
 */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import type { Final, Heartbeat, Partial, Snapshot, Utterance } from '../protocol.ts'

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
  /** What was said just before it may be missing here. */
  gap?: Gap
}

/** A time in which this page heard nothing; in milliseconds since 1970. */
export interface Gap {
  from: number
  to: number
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
  /** The server could not read what was said before this page came. */
  incomplete: boolean
  /** The oldest captions were taken off the page. */
  trimmed: boolean
  /** When the viewer's socket last told anything, in milliseconds since 1970. */
  heardAt?: number
  /** Belongs before the next caption. */
  gap?: Gap
}

export interface Heard {
  message: Snapshot | Partial | Final | Heartbeat
  source: Source
  /** Milliseconds since 1970. */
  now: number
}

/** A draft nobody has spoken of for so long has lost its final, in milliseconds. */
export const DRAFT_LIFETIME = 30_000

/** How far back a snapshot reaches, in milliseconds; `SNAPSHOT_SECONDS` in transcripts/protocol.py. */
export const SNAPSHOT_REACH = 120_000

/** Captions that stay on the page, some hours of talk: memory and layout stay small. */
export const MOST_CAPTIONS = 2_000
/** So many go at a time, for the text jumps under a reader who has scrolled up. */
const TRIMMED_AT_ONCE = 200

const initialState: ConversationState = {
  captions: [],
  known: {},
  drafts: {},
  incomplete: false,
  trimmed: false,
}

export const conversationSlice = createSlice({
  name: 'conversation',
  initialState,
  reducers: {
    heard(state, { payload: { message, source, now } }: PayloadAction<Heard>) {
      if (message.type === 'snapshot') noteGap(state, now)
      if (source === 'viewer') state.heardAt = now
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
          state.incomplete = !message.complete
          for (const utterance of message.utterances) settle(state, utterance)
          break
        case 'heartbeat':
          dropDrafts(state, (draft) => now - draft.heardAt > DRAFT_LIFETIME)
          break
      }
    },
    /** What an incomplete snapshot lacked has come; the drafts have gone on meanwhile. */
    recalled(state, { payload: utterances }: PayloadAction<Utterance[]>) {
      state.incomplete = false
      for (const utterance of utterances) settle(state, utterance)
    },
    /** The own stream is over: from now on the viewer's socket alone speaks of its drafts. */
    ownStreamEnded(state) {
      dropDrafts(state, (draft) => draft.source === 'speaker')
    },
  },
})

export const { heard, recalled, ownStreamEnded } = conversationSlice.actions

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
  const caption: Caption = { utteranceId, speaker, language, text, timestamp, startTime }
  if (state.gap !== undefined) {
    caption.gap = state.gap
    delete state.gap
  }
  // Nearly always the newest, so the place is searched from the end.
  const at = state.captions.findLastIndex((other) => compare(other, caption) <= 0)
  state.captions.splice(at + 1, 0, caption)
  if (state.captions.length >= MOST_CAPTIONS + TRIMMED_AT_ONCE) trim(state)
}

/** A snapshot does not reach back over a longer absence than its own length. */
function noteGap(state: ConversationState, now: number): void {
  const to = now - SNAPSHOT_REACH
  if (state.heardAt !== undefined && state.heardAt < to) {
    state.gap = { from: state.gap?.from ?? state.heardAt, to }
  }
}

function trim(state: ConversationState): void {
  state.trimmed = true
  state.captions = state.captions.slice(-MOST_CAPTIONS)
  // The ids of what has gone may go: nothing brings back what is older than a snapshot.
  state.known = Object.fromEntries(state.captions.map(({ utteranceId }) => [utteranceId, true]))
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
