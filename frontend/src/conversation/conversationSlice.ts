/**
 * The captions of the conversation, built from the messages of the server.
 *
 * Messages arrive over two sockets (the page's own speech arrives over both) and again after a
 * reconnect. So every rule also holds for late and repeated messages: an utterance is identified
 * by its id, its first final stays, and no partial replaces a final.
 *
 * A translation arrives after the text that it translates, over the viewer's socket only, in the
 * language for which that socket was opened. Its utterance is on the page by then, or was removed.
 */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import { languageChosen } from '../language/languageSlice.ts'
import { isReadable } from '../language/tags.ts'
import type {
  Final,
  Heartbeat,
  Partial,
  Snapshot,
  Translation,
  TranslationStatus,
  Utterance,
} from '../protocol.ts'
import type { PartialTranslation, Wording } from './displayedText.ts'
import { countStableCharacters } from './stableLength.ts'

/** The socket over which a message arrived. */
export type Source = 'speaker' | 'viewer'

/** Who speaks: a name, and which of several people or channels at one microphone. */
export interface SpeakerIdentity {
  speaker: string
  /** The engine's label for one of several people at the microphone of `speaker`. */
  speakerLabel?: string | undefined
  /** 0 for the left channel, 1 for the right. */
  channel?: number | undefined
}

/** A final on the page. */
export interface Caption extends SpeakerIdentity {
  utteranceId: string
  language: string
  text: string
  /** Keyed by the language that was requested; the service may answer in a variant of it. */
  translations?: Record<string, Wording>
  /** The translation of a partial; kept until the final's own translation arrives. */
  partialTranslation?: PartialTranslation | undefined
  /** When the utterance began, in ISO 8601. */
  timestamp: string
  /** A time before this caption whose captions may be missing. */
  gap?: Gap | undefined
}

/** A time in which this page received nothing; in milliseconds since 1970. */
export interface Gap {
  from: number
  to: number
}

/** An utterance that is still being spoken, with its newest partial. */
export interface Draft extends SpeakerIdentity {
  utteranceId: string
  language: string
  text: string
  /** How many characters at the start of `text` will not change; absent where unknown. */
  stable?: number | undefined
  startTime: number
  /** The partials since the last translated one, oldest first; the next translation is of one. */
  partials: { seq: number; text: string }[]
  partialTranslation?: PartialTranslation | undefined
  source: Source
  /** When this page received its first and its newest partial, in milliseconds since 1970. */
  since: number
  updatedAt: number
}

/** What a screen reader reads out of a final, where translations are read. */
export interface Announcement extends Wording, SpeakerIdentity {
  utteranceId: string
}

export interface ConversationState {
  /** A copy of `language.chosen`, because a reducer sees its own slice only. */
  language?: string | undefined
  /** Until when the page waits for the translation of an utterance; in milliseconds since 1970. */
  awaited: Record<string, number>
  /** The newest few. Every utterance is announced once. */
  announcements: Announcement[]
  /** In the order of `compareByTime`. */
  captions: Caption[]
  /** The ids of `captions`, for a look-up in constant time. */
  known: Record<string, true>
  drafts: Record<string, Draft>
  /** Some translations are missing at the moment. */
  isTranslationFailing: boolean
  /** The server could not read the finals from before this page connected. */
  isIncomplete: boolean
  /** The oldest captions were removed from the page. */
  isTrimmed: boolean
  /** Somebody spoke before this page connected, so that older captions may be stored. */
  hasEarlierWords?: boolean
  /** When the viewer's socket last received anything, in milliseconds since 1970. */
  lastMessageAt?: number
  /** The gap to put before the next caption. */
  gap?: Gap
}

export interface ReceivedMessage {
  message: Snapshot | Partial | Final | Heartbeat | Translation | TranslationStatus
  source: Source
  /** Milliseconds since 1970. */
  now: number
  /** A snapshot that leaves nothing out since the last message of the viewer's socket before it. */
  isContinued?: boolean
}

/** A draft without a partial for so long has lost its final; in milliseconds. */
export const DRAFT_LIFETIME = 30_000

/** How far back a snapshot reaches, in milliseconds: `SNAPSHOT_SECONDS` of the server. */
export const SNAPSHOT_REACH = 120_000

/** Captions that stay on the page, some hours of talk. The bound limits memory and layout. */
export const MOST_CAPTIONS = 2_000
/** Captions removed at once, because each removal moves the text under a reader who scrolled up. */
const TRIMMED_AT_ONCE = 200

/** How long a final waits for its translation before the original is shown, in milliseconds. */
export const TRANSLATION_PATIENCE = 10_000
/** Partials of one utterance that may still be translated; some seconds of speech. */
const MOST_PARTIALS = 64
const MOST_ANNOUNCEMENTS = 5

const initialState: ConversationState = {
  awaited: {},
  announcements: [],
  captions: [],
  known: {},
  drafts: {},
  isTranslationFailing: false,
  isIncomplete: false,
  isTrimmed: false,
}

export const conversationSlice = createSlice({
  name: 'conversation',
  initialState,
  reducers: {
    messageReceived(
      state,
      { payload: { message, source, now, isContinued } }: PayloadAction<ReceivedMessage>,
    ) {
      if (message.type === 'snapshot' && isContinued !== true) recordGap(state, message, now)
      if (source === 'viewer') state.lastMessageAt = now
      expireAwaited(state, now)
      switch (message.type) {
        case 'partial':
          applyPartial(state, message, source, now)
          break
        case 'final':
          addFinal(state, message, now)
          break
        case 'translation':
          applyTranslation(state, message)
          break
        case 'translation_status':
          state.isTranslationFailing = message.state === 'failing'
          break
        case 'snapshot':
          // Drafts may have ended while the page was away; those that continue arrive again.
          dropDrafts(state, (draft) => draft.source === 'viewer')
          state.isIncomplete = !message.complete
          state.isTranslationFailing = false // The server reports a failure again.
          if (message.complete) state.hasEarlierWords ??= message.utterances.length > 0
          for (const utterance of message.utterances) addFinal(state, utterance, now)
          break
        case 'heartbeat':
          dropDrafts(state, (draft) => now - draft.updatedAt > DRAFT_LIFETIME)
          break
      }
    },
    /** A complete snapshot followed an incomplete one. Drafts are newer than it and stay. */
    snapshotCompleted(state, { payload: utterances }: PayloadAction<Utterance[]>) {
      state.isIncomplete = false
      state.hasEarlierWords ??= utterances.length > 0
      for (const utterance of utterances) addFinal(state, utterance, state.lastMessageAt ?? 0)
    },
    /** The page's own stream ended: its drafts now arrive over the viewer's socket alone. */
    ownStreamEnded(state) {
      dropDrafts(state, (draft) => draft.source === 'speaker')
    },
  },
  extraReducers: (builder) => {
    // Captions that are on the page are not announced again.
    builder.addCase(languageChosen, (state, { payload: language }) => {
      state.language = language
      for (const caption of state.captions) delete caption.partialTranslation
      for (const draft of Object.values(state.drafts)) {
        delete draft.partialTranslation
        draft.partials = []
      }
      state.awaited = {}
      state.announcements = []
      state.isTranslationFailing = false
    })
  },
})

export const { messageReceived, snapshotCompleted, ownStreamEnded } = conversationSlice.actions

interface Root {
  conversation: ConversationState
}

export const selectAnnouncements = ({ conversation }: Root) => conversation.announcements
export const selectAwaited = ({ conversation }: Root) => conversation.awaited
export const selectHasEarlierWords = ({ conversation }: Root) => conversation.hasEarlierWords
export const selectCaptions = ({ conversation }: Root) => conversation.captions
export const selectDrafts = ({ conversation }: Root) => conversation.drafts
export const selectIsIncomplete = ({ conversation }: Root) => conversation.isIncomplete
export const selectIsTranslationFailing = ({ conversation }: Root) =>
  conversation.isTranslationFailing
export const selectIsTrimmed = ({ conversation }: Root) => conversation.isTrimmed
export const selectIsEmpty = ({ conversation: { captions, drafts } }: Root) =>
  captions.length === 0 && Object.keys(drafts).length === 0

function applyPartial(
  state: ConversationState,
  message: Partial,
  source: Source,
  now: number,
): void {
  const { utteranceId, language, text, startTime, seq } = message
  if (Object.hasOwn(state.known, utteranceId)) return
  const before = findDraft(state, utteranceId)
  // Two sockets deliver the page's own speech at different times; the speaker's leads.
  if (before?.source === 'speaker' && source === 'viewer') return
  if (text === '') {
    dropDrafts(state, (draft) => draft.utteranceId === utteranceId)
    return
  }
  const draft: Draft = {
    ...toSpeakerIdentity(message),
    utteranceId,
    language,
    text,
    startTime,
    source,
    since: before?.since ?? now,
    updatedAt: now,
    partials: before?.partials ?? [],
    partialTranslation: before?.partialTranslation,
    stable: countStableCharacters(text, message.words, message.stableWords ?? Infinity),
  }
  if (state.language !== undefined) {
    draft.partials = [...draft.partials.slice(1 - MOST_PARTIALS), { seq, text }]
  }
  state.drafts[utteranceId] = draft
}

function addFinal(state: ConversationState, utterance: Final | Utterance, now: number): void {
  const { utteranceId, language, text, timestamp } = utterance
  const partialTranslation = findDraft(state, utteranceId)?.partialTranslation
  dropDrafts(state, (draft) => draft.utteranceId === utteranceId)
  if (Object.hasOwn(state.known, utteranceId)) return
  if (isRemoved(state, utterance)) return
  state.known[utteranceId] = true
  const caption: Caption = {
    ...toSpeakerIdentity(utterance),
    utteranceId,
    language,
    text,
    timestamp,
    partialTranslation,
    gap: state.gap,
  }
  delete state.gap
  // A caption is nearly always the newest, so the search starts at the end.
  const at = state.captions.findLastIndex((other) => compareByTime(other, caption) <= 0)
  state.captions.splice(at + 1, 0, caption)
  if (state.language !== undefined) {
    if (isReadable(language, state.language)) announce(state, caption, caption)
    else state.awaited[utteranceId] = now + TRANSLATION_PATIENCE
  }
  if (state.captions.length >= MOST_CAPTIONS + TRIMMED_AT_ONCE) trim(state)
}

function applyTranslation(state: ConversationState, message: Translation): void {
  const { utteranceId, language, text, seq, isFinal } = message
  if (state.language === undefined) return
  if (!isFinal) {
    // A draft is gone once its final is there, and this translation is then out of date.
    const draft = findDraft(state, utteranceId)
    const source = draft?.partials.find((partial) => partial.seq === seq)?.text
    if (draft === undefined || source === undefined) return
    draft.partialTranslation = { text, language, seq, source }
    // Translations of earlier partials will not arrive any more, or too late.
    draft.partials = draft.partials.filter((partial) => partial.seq > seq)
    return
  }
  if (!Object.hasOwn(state.known, utteranceId)) return
  const caption = state.captions.findLast((other) => other.utteranceId === utteranceId)
  if (caption === undefined) return
  const wording: Wording = { text, language }
  caption.translations = { ...caption.translations, [state.language]: wording }
  delete caption.partialTranslation
  if (stopAwaiting(state, utteranceId)) announce(state, caption, wording)
}

/** Shows and announces the original of every final whose translation did not arrive in time. */
function expireAwaited(state: ConversationState, now: number): void {
  for (const [utteranceId, until] of Object.entries(state.awaited)) {
    if (until > now) continue
    stopAwaiting(state, utteranceId)
    const caption = state.captions.findLast((other) => other.utteranceId === utteranceId)
    if (caption === undefined) continue
    delete caption.partialTranslation
    announce(state, caption, caption)
  }
}

/** Returns whether the page was waiting for a translation of this utterance. */
function stopAwaiting(state: ConversationState, utteranceId: string): boolean {
  if (!Object.hasOwn(state.awaited, utteranceId)) return false
  state.awaited = Object.fromEntries(
    Object.entries(state.awaited).filter(([id]) => id !== utteranceId),
  )
  return true
}

function announce(state: ConversationState, caption: Caption, { text, language }: Wording): void {
  const { utteranceId } = caption
  const announcement = { utteranceId, text, language, ...toSpeakerIdentity(caption) }
  state.announcements = [...state.announcements.slice(1 - MOST_ANNOUNCEMENTS), announcement]
}

function toSpeakerIdentity({ speaker, speakerLabel, channel }: SpeakerIdentity): SpeakerIdentity {
  return { speaker, speakerLabel, channel }
}

function findDraft(state: ConversationState, utteranceId: string): Draft | undefined {
  return Object.hasOwn(state.drafts, utteranceId) ? state.drafts[utteranceId] : undefined
}

/**
 * Records that captions may be missing: after an absence longer than a snapshot reaches back, or
 * where the server says so.
 */
function recordGap(state: ConversationState, snapshot: Snapshot, now: number): void {
  const last = state.lastMessageAt
  if (last === undefined) return
  const to = snapshot.gap ? Math.max(last, now - SNAPSHOT_REACH) : now - SNAPSHOT_REACH
  if (last < to || snapshot.gap) state.gap = { from: state.gap?.from ?? last, to }
}

function trim(state: ConversationState): void {
  state.isTrimmed = true
  state.captions = state.captions.slice(-MOST_CAPTIONS)
  // What is older than the page is not added again, so the ids of removed captions may go.
  state.known = Object.fromEntries(state.captions.map(({ utteranceId }) => [utteranceId, true]))
}

function dropDrafts(state: ConversationState, unwanted: (draft: Draft) => boolean): void {
  const drafts = Object.entries(state.drafts)
  const kept = drafts.filter(([, draft]) => !unwanted(draft))
  if (kept.length < drafts.length) state.drafts = Object.fromEntries(kept)
}

/** Whether an utterance is older than the captions that stay on the page. */
function isRemoved(state: ConversationState, utterance: Ordered): boolean {
  const [oldest] = state.captions
  return state.isTrimmed && oldest !== undefined && compareByTime(utterance, oldest) < 0
}

type Ordered = Pick<Caption, 'timestamp' | 'utteranceId'>

/** The order on every page, in whatever order the finals arrive. */
function compareByTime(a: Ordered, b: Ordered): number {
  return (
    Date.parse(a.timestamp) - Date.parse(b.timestamp) || (a.utteranceId < b.utteranceId ? -1 : 1)
  )
}
