/**
 * What was said in the conversation.
 *
 * Messages come over two sockets (the page's own speech also over the speaker's) and again
 * after a reconnect, so every rule holds for late and repeated ones: an utterance is known by
 * its id, its first final stays, and nothing brings a partial back after it.
 *
 * Translations come later than what they translate, over the viewer's socket only, in the one
 * language that it was opened with. What they belong to is known by then, or has gone.
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
import { stableLength } from './stableLength.ts'
import type { Rendering, Wording } from './displayedText.ts'

/** Over which socket a message came. */
export type Source = 'speaker' | 'viewer'

/** Who said something. */
export interface Speaking {
  speaker: string
  /** One of several people at the microphone of `speaker`. */
  speakerLabel?: string
  /** One of two channels. */
  channel?: number
}

/** A finished utterance. */
export interface Caption extends Speaking {
  utteranceId: string
  language: string
  text: string
  /** By the language that was asked for. */
  translations?: Record<string, Wording>
  /** Of its last guess, until its own translation is there. */
  rendering?: Rendering
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
export interface Draft extends Speaking {
  utteranceId: string
  language: string
  text: string
  /** So many characters of the text will not change, if the engine tells. */
  stable?: number
  startTime: number
  /** What it has been since the last translation, oldest first: one of it comes translated. */
  said: { seq: number; text: string }[]
  rendering?: Rendering
  source: Source
  /** When this page first and last heard of it, in milliseconds since 1970. */
  since: number
  heardAt: number
}

/** What a screen reader says of a finished utterance to somebody who reads a translation. */
export interface Announcement extends Wording, Speaking {
  utteranceId: string
}

export interface ConversationState {
  /** As `language.chosen`: translations are for it, and a reducer sees its own slice only. */
  language?: string | undefined
  /** Until when a translation is waited for, by utterance; in milliseconds since 1970. */
  awaited: Record<string, number>
  /** The newest, each utterance once. */
  announcements: Announcement[]
  /** In order of time. */
  captions: Caption[]
  /** The same by id, for a look-up that does not grow with the conversation. */
  known: Record<string, true>
  drafts: Record<string, Draft>
  /** Some translations are missing at the moment. */
  translationFailing: boolean
  /** The server could not read what was said before this page came. */
  incomplete: boolean
  /** The oldest captions were taken off the page. */
  trimmed: boolean
  /** Somebody had spoken before this page came, so there may be older words than it shows. */
  begunBefore?: boolean
  /** When the viewer's socket last told anything, in milliseconds since 1970. */
  heardAt?: number
  /** Belongs before the next caption. */
  gap?: Gap
}

export interface Heard {
  message: Snapshot | Partial | Final | Heartbeat | Translation | TranslationStatus
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

/** After so long a final without a translation is shown as it was said, in milliseconds. */
export const TRANSLATION_PATIENCE = 10_000
/** Guesses of an utterance that may still come translated; some seconds of speech. */
const MOST_SAID = 64
const MOST_ANNOUNCEMENTS = 5

const initialState: ConversationState = {
  awaited: {},
  announcements: [],
  captions: [],
  known: {},
  drafts: {},
  translationFailing: false,
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
      giveUpWaiting(state, now)
      switch (message.type) {
        case 'partial':
          revise(state, message, source, now)
          break
        case 'final':
          settle(state, message, now)
          break
        case 'translation':
          translate(state, message)
          break
        case 'translation_status':
          state.translationFailing = message.state === 'failing'
          break
        case 'snapshot':
          // Drafts of before the interruption may have ended unseen; living ones come again.
          dropDrafts(state, (draft) => draft.source === 'viewer')
          state.incomplete = !message.complete
          state.translationFailing = false // The server reports a failure again.
          if (message.complete) state.begunBefore ??= message.utterances.length > 0
          for (const utterance of message.utterances) settle(state, utterance, now)
          break
        case 'heartbeat':
          dropDrafts(state, (draft) => now - draft.heardAt > DRAFT_LIFETIME)
          break
      }
    },
    /** What an incomplete snapshot lacked has come; the drafts have gone on meanwhile. */
    recalled(state, { payload: utterances }: PayloadAction<Utterance[]>) {
      state.incomplete = false
      state.begunBefore ??= utterances.length > 0
      for (const utterance of utterances) settle(state, utterance, state.heardAt ?? 0)
    },
    /** The own stream is over: from now on the viewer's socket alone speaks of its drafts. */
    ownStreamEnded(state) {
      dropDrafts(state, (draft) => draft.source === 'speaker')
    },
  },
  extraReducers: (builder) => {
    // What is on the page was announced already.
    builder.addCase(languageChosen, (state, { payload: language }) => {
      state.language = language
      for (const caption of state.captions) delete caption.rendering
      for (const draft of Object.values(state.drafts)) {
        delete draft.rendering
        draft.said = []
      }
      state.awaited = {}
      state.announcements = []
      state.translationFailing = false
    })
  },
})

export const { heard, recalled, ownStreamEnded } = conversationSlice.actions
interface Root {
  conversation: ConversationState
}

export const selectAnnouncements = ({ conversation }: Root) => conversation.announcements
export const selectAwaited = ({ conversation }: Root) => conversation.awaited
export const selectBegunBefore = ({ conversation }: Root) => conversation.begunBefore
export const selectCaptions = ({ conversation }: Root) => conversation.captions
export const selectDrafts = ({ conversation }: Root) => conversation.drafts
export const selectIncomplete = ({ conversation }: Root) => conversation.incomplete
export const selectTranslationFailing = ({ conversation }: Root) => conversation.translationFailing
export const selectTrimmed = ({ conversation }: Root) => conversation.trimmed
export const selectIsEmpty = ({ conversation: { captions, drafts } }: Root) =>
  captions.length === 0 && Object.keys(drafts).length === 0

function revise(state: ConversationState, message: Partial, source: Source, now: number): void {
  const { utteranceId, language, text, startTime, seq } = message
  if (Object.hasOwn(state.known, utteranceId)) return
  const before = draftOf(state, utteranceId)
  // Two sockets deliver the page's own speech at different times; one of them has to lead.
  if (before?.source === 'speaker' && source === 'viewer') return
  if (text === '') {
    dropDrafts(state, (draft) => draft.utteranceId === utteranceId)
    return
  }
  const draft: Draft = {
    ...{ utteranceId, language, text, startTime, source, ...speakingOf(message) },
    ...{ since: before?.since ?? now, heardAt: now },
    said: before?.said ?? [],
  }
  if (state.language !== undefined) {
    draft.said = [...draft.said.slice(1 - MOST_SAID), { seq, text }]
  }
  if (before?.rendering !== undefined) draft.rendering = before.rendering
  const stable = stableLength(text, message.words, message.stableWords ?? Infinity)
  if (stable !== undefined) draft.stable = stable
  state.drafts[utteranceId] = draft
}

function settle(state: ConversationState, utterance: Final | Utterance, now: number): void {
  const { utteranceId, language, text, timestamp, startTime } = utterance
  const rendering = draftOf(state, utteranceId)?.rendering
  dropDrafts(state, (draft) => draft.utteranceId === utteranceId)
  if (Object.hasOwn(state.known, utteranceId)) return
  state.known[utteranceId] = true
  const caption: Caption = {
    ...{ utteranceId, language, text, timestamp, startTime },
    ...speakingOf(utterance),
  }
  if (rendering !== undefined) caption.rendering = rendering
  if (state.gap !== undefined) {
    caption.gap = state.gap
    delete state.gap
  }
  // Nearly always the newest, so the place is searched from the end.
  const at = state.captions.findLastIndex((other) => compare(other, caption) <= 0)
  state.captions.splice(at + 1, 0, caption)
  if (state.language !== undefined) {
    if (isReadable(language, state.language)) announce(state, caption, caption)
    else state.awaited[utteranceId] = now + TRANSLATION_PATIENCE
  }
  if (state.captions.length >= MOST_CAPTIONS + TRIMMED_AT_ONCE) trim(state)
}

function translate(state: ConversationState, message: Translation): void {
  const { utteranceId, language, text, seq, isFinal } = message
  if (state.language === undefined) return
  if (!isFinal) {
    // After the final it is too late for the translation of a guess.
    const draft = draftOf(state, utteranceId)
    const source = draft?.said.find((guess) => guess.seq === seq)?.text
    if (draft === undefined || source === undefined) return
    draft.rendering = { text, language, seq, source }
    // Those before it will not come any more, or too late.
    draft.said = draft.said.filter((guess) => guess.seq > seq)
    return
  }
  if (!Object.hasOwn(state.known, utteranceId)) return
  const caption = state.captions.findLast((other) => other.utteranceId === utteranceId)
  if (caption === undefined) return
  const wording: Wording = { text, language }
  caption.translations = { ...caption.translations, [state.language]: wording }
  delete caption.rendering
  if (stopWaiting(state, utteranceId)) announce(state, caption, wording)
}

/** What is not translated by now is to be read as it was said. */
function giveUpWaiting(state: ConversationState, now: number): void {
  for (const [utteranceId, until] of Object.entries(state.awaited)) {
    if (until > now) continue
    stopWaiting(state, utteranceId)
    const caption = state.captions.findLast((other) => other.utteranceId === utteranceId)
    if (caption === undefined) continue
    delete caption.rendering
    announce(state, caption, caption)
  }
}

/** Returns whether it was waited for. */
function stopWaiting(state: ConversationState, utteranceId: string): boolean {
  if (!Object.hasOwn(state.awaited, utteranceId)) return false
  state.awaited = Object.fromEntries(
    Object.entries(state.awaited).filter(([id]) => id !== utteranceId),
  )
  return true
}

function announce(state: ConversationState, caption: Caption, { text, language }: Wording): void {
  const { utteranceId } = caption
  const announcement = { utteranceId, text, language, ...speakingOf(caption) }
  state.announcements = [...state.announcements.slice(1 - MOST_ANNOUNCEMENTS), announcement]
}

function speakingOf({ speaker, speakerLabel, channel }: Speaking): Speaking {
  return {
    speaker,
    ...(speakerLabel === undefined ? {} : { speakerLabel }),
    ...(channel === undefined ? {} : { channel }),
  }
}

function draftOf(state: ConversationState, utteranceId: string): Draft | undefined {
  return Object.hasOwn(state.drafts, utteranceId) ? state.drafts[utteranceId] : undefined
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
