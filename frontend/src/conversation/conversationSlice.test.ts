import { describe, expect, it } from 'vitest'

import type { Final, Heartbeat, Partial, Snapshot, Utterance } from '../protocol.ts'
import {
  type ConversationState,
  conversationSlice,
  DRAFT_LIFETIME,
  heard,
  MOST_CAPTIONS,
  ownStreamEnded,
  recalled,
  SNAPSHOT_REACH,
  type Source,
} from './conversationSlice.ts'

const NOW = 1_000_000
const VIEWER = { source: 'viewer', now: NOW } as const
const { reducer } = conversationSlice

function utterance(id: string, text: string, second = 0, startTime = second): Utterance {
  return {
    conversationId: 'c',
    utteranceId: id,
    timestamp: new Date(Date.UTC(2026, 10, 20, 17, 0, second)).toISOString(),
    speaker: 'Ada',
    language: 'en-US',
    startTime,
    endTime: startTime + 1,
    text,
    words: [],
  }
}

const final = (id: string, text: string, second = 0, startTime = second): Final => ({
  ...utterance(id, text, second, startTime),
  type: 'final',
  seq: 1,
})

const partial = (id: string, text: string): Partial => {
  const { conversationId, utteranceId, speaker, language, startTime, endTime, words } = utterance(
    id,
    text,
  )
  return {
    ...{ type: 'partial', seq: 1, conversationId, utteranceId, speaker, language },
    ...{ startTime, endTime, text, words },
  }
}

const snapshot = (...utterances: Utterance[]): Snapshot => ({
  type: 'snapshot',
  conversationId: 'c',
  utterances,
  complete: true,
  seq: 1,
})

const heartbeat: Heartbeat = { type: 'heartbeat', conversationId: 'c', seq: 1 }

type Message = Final | Partial | Snapshot | Heartbeat
type Step = Message | [Message, { source?: Source; now?: number }] | 'own stream ended'

function after(...steps: Step[]): ConversationState {
  return steps.reduce<ConversationState>(
    (state, step) => {
      if (step === 'own stream ended') return reducer(state, ownStreamEnded())
      const [message, { source = 'viewer', now = NOW }] = Array.isArray(step) ? step : [step, {}]
      return reducer(state, heard({ message, source, now }))
    },
    reducer(undefined, { type: 'start' }),
  )
}

const texts = (state: ConversationState) => state.captions.map(({ text }) => text)
const open = (state: ConversationState) => Object.values(state.drafts).map(({ text }) => text)

describe('finals', () => {
  it('stand in order of time, however they arrive', () => {
    const state = after(
      final('b', 'second', 2),
      final('c', 'third', 3),
      final('a', 'first', 1),
      final('e', 'same moment, later in its stream', 3, 9),
      final('d', 'same moment, earlier in its stream', 3, 5),
    )
    expect(texts(state)).toEqual([
      'first',
      'second',
      'third',
      'same moment, earlier in its stream',
      'same moment, later in its stream',
    ])
  })

  it('are never rewritten and never doubled', () => {
    expect(texts(after(final('a', 'said'), final('a', 'changed'), final('a', 'said')))).toEqual([
      'said',
    ])
  })

  it('replace their partial, which does not come back', () => {
    const state = after(partial('a', 'gue'), final('a', 'guess'), partial('a', 'gues'))
    expect(texts(state)).toEqual(['guess'])
    expect(open(state)).toEqual([])
  })

  it('leave the partials of other utterances alone', () => {
    expect(open(after(partial('a', 'one'), partial('b', 'two'), final('a', 'one')))).toEqual([
      'two',
    ])
  })

  it('may be called like anything that objects inherit', () => {
    expect(texts(after(final('constructor', 'x'), partial('toString', 'y')))).toEqual(['x'])
  })
})

describe('partials', () => {
  it('replace the one before, and keep the time at which the utterance was first heard', () => {
    const state = after(partial('a', 'wreck a'), [partial('a', 'recognise'), { now: NOW + 500 }])
    expect(open(state)).toEqual(['recognise'])
    expect(state.drafts.a).toMatchObject({ since: NOW, heardAt: NOW + 500 })
  })

  it('take themselves back with an empty text', () => {
    expect(open(after(partial('a', 'cough'), partial('a', '')))).toEqual([])
    expect(open(after(partial('a', '')))).toEqual([])
  })

  it('that were taken back may come again', () => {
    const again = after(partial('a', 'cough'), partial('a', ''), partial('a', 'coffee'))
    expect(open(again)).toEqual(['coffee'])
    expect(texts(reducer(again, heard({ message: final('a', 'coffee'), ...VIEWER })))).toEqual([
      'coffee',
    ])
  })

  it('of the own speech come from one socket only, or they would flicker', () => {
    const state = after(
      partial('a', 'one'),
      [partial('a', 'one two'), { source: 'speaker' }],
      partial('a', 'one'),
    )
    expect(open(state)).toEqual(['one two'])
  })

  it('of the own speech end with the own stream', () => {
    const own: Step = [partial('a', 'one'), { source: 'speaker' }]
    expect(open(after(own, partial('b', 'other'), 'own stream ended'))).toEqual(['other'])
  })

  it('whose final was lost go after a while', () => {
    const late: Step = [heartbeat, { now: NOW + DRAFT_LIFETIME + 1 }]
    expect(open(after(partial('a', 'one'), [heartbeat, { now: NOW + 10_000 }]))).toEqual(['one'])
    expect(open(after(partial('a', 'one'), late))).toEqual([])
  })
})

describe('a snapshot after a reconnect', () => {
  it('adds what was missed, in its place, and doubles nothing', () => {
    const state = after(
      final('a', 'before', 1),
      final('d', 'on the other socket', 4),
      snapshot(utterance('a', 'before', 1), utterance('b', 'missed', 2)),
      final('b', 'missed', 2),
    )
    expect(texts(state)).toEqual(['before', 'missed', 'on the other socket'])
  })

  it('takes nothing off the page, though it reaches back two minutes only', () => {
    expect(texts(after(final('a', 'long ago'), snapshot()))).toEqual(['long ago'])
  })

  it('ends the partials of before, but not those of the own stream', () => {
    const own: Step = [partial('b', 'own'), { source: 'speaker' }]
    expect(open(after(partial('a', 'stale'), own, snapshot()))).toEqual(['own'])
  })

  it('ends the partials that became final meanwhile', () => {
    const own: Step = [partial('a', 'own'), { source: 'speaker' }]
    const state = after(own, snapshot(utterance('a', 'own words')))
    expect(open(state)).toEqual([])
    expect(texts(state)).toEqual(['own words'])
  })
})

describe('what was said while the page was away', () => {
  const back = NOW + SNAPSHOT_REACH + 60_000

  it('is marked as missing where no snapshot reaches', () => {
    const state = after(
      [final('a', 'before', 1), { now: NOW }],
      [snapshot(utterance('a', 'before', 1), utterance('b', 'back', 2)), { now: back }],
      [final('c', 'later', 3), { now: back }],
    )
    const gap = { from: NOW, to: back - SNAPSHOT_REACH }
    expect(state.captions.map((caption) => caption.gap)).toEqual([undefined, gap, undefined])
  })

  it('is marked before the first new words, whenever they come', () => {
    const state = after(
      [final('a', 'before', 1), { now: NOW }],
      [snapshot(), { now: back }],
      [final('b', 'later', 3), { now: back + 60_000 }],
    )
    expect(state.captions.map(({ gap }) => gap === undefined)).toEqual([true, false])
  })

  it('is not missing after a short absence, nor before the page was opened', () => {
    const state = after(
      [snapshot(utterance('a', 'before', 1)), { now: NOW }],
      [snapshot(utterance('b', 'back', 2)), { now: NOW + SNAPSHOT_REACH }],
    )
    expect(state.captions.some(({ gap }) => gap !== undefined)).toBe(false)
  })
})

describe('a snapshot that the server could not complete', () => {
  const partly: Snapshot = { ...snapshot(utterance('b', 'second', 2)), complete: false }

  it('is known as such until the rest has come', () => {
    const state = after(partial('c', 'being said'), partly, partial('d', 'being said'))
    expect(state.incomplete).toBe(true)
    const whole = reducer(
      state,
      recalled([utterance('a', 'first', 1), utterance('b', 'second', 2)]),
    )
    expect(whole.incomplete).toBe(false)
    expect(texts(whole)).toEqual(['first', 'second'])
    expect(open(whole)).toEqual(['being said'])
  })

  it('is forgotten after a complete one', () => {
    expect(after(partly, snapshot()).incomplete).toBe(false)
  })
})

it('keeps the newest captions of a conversation of many hours', () => {
  const all = Array.from({ length: MOST_CAPTIONS + 500 }, (_, n) => final(`${n}`, `${n}`, n))
  const state = after(...all)
  expect(state.captions.length).toBeLessThan(MOST_CAPTIONS + 200)
  expect(state.captions.length).toBeGreaterThanOrEqual(MOST_CAPTIONS)
  expect(Object.keys(state.known)).toHaveLength(state.captions.length)
  expect(texts(state).at(-1)).toBe(`${MOST_CAPTIONS + 499}`)
  expect(state.trimmed).toBe(true)
})
