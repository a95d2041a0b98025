import { describe, expect, it } from 'vitest'

import { languageChosen } from '../language/languageSlice.ts'
import type { Final, Heartbeat, Partial, Snapshot, Translation, Utterance } from '../protocol.ts'
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
  TRANSLATION_PATIENCE,
} from './conversationSlice.ts'
import { shownOf } from './displayedText.ts'

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

type Message = Final | Partial | Snapshot | Heartbeat | Translation
type Step =
  | Message
  | [Message, { source?: Source; now?: number }]
  | { read: string | undefined }
  | 'own stream ended'

function after(...steps: Step[]): ConversationState {
  return steps.reduce<ConversationState>(
    (state, step) => {
      if (step === 'own stream ended') return reducer(state, ownStreamEnded())
      if ('read' in step) return reducer(state, languageChosen(step.read))
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

describe('older words', () => {
  const said = snapshot(utterance('a', 'before this page came'))

  it('there may be when somebody had spoken before this page came', () => {
    expect(after(said).begunBefore).toBe(true)
    expect(after(said, snapshot()).begunBefore).toBe(true)
  })

  it('there are none known of when the conversation begins on this page', () => {
    expect(after(snapshot(), final('b', 'the first'), said).begunBefore).toBe(false)
  })

  it('are not known of until a snapshot is complete', () => {
    const partly = after({ ...snapshot(), complete: false })
    expect(partly.begunBefore).toBeUndefined()
    expect(reducer(partly, recalled([utterance('a', 'earlier')])).begunBefore).toBe(true)
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

describe('in another language', () => {
  const READ = { read: 'fr' } as const
  const guess = (id: string, text: string, seq: number): Partial => ({ ...partial(id, text), seq })
  const translation = (id: string, text: string, seq: number, isFinal = true): Translation => ({
    ...{ type: 'translation', conversationId: 'c', utteranceId: id, sourceLanguage: 'en-US' },
    ...{ language: 'fr', text, isFinal, seq },
  })

  /** What is on the page, as it reads; what is not translated is in brackets. */
  const page = (state: ConversationState) =>
    [
      ...state.captions.map((each) =>
        shownOf(each, state.language, Object.hasOwn(state.awaited, each.utteranceId)),
      ),
      ...Object.values(state.drafts).map((each) => shownOf(each, state.language, true)),
    ].map(({ state: is, main, rest }) =>
      is === 'translated'
        ? [main.text, ...(rest === undefined ? [] : [`[${rest.text}]`])].join(' ')
        : `[${main.text}]`,
    )
  const read = (state: ConversationState) => state.announcements.map(({ text }) => text)

  it('finals stand as they were said until their translation is there', () => {
    const waiting = after(READ, final('a', 'hello'), final('b', 'bye', 1))
    expect(page(waiting)).toEqual(['[hello]', '[bye]'])
    const one = after(READ, final('a', 'hello'), final('b', 'bye', 1), translation('b', 'ciao', 1))
    expect(page(one)).toEqual(['[hello]', 'ciao'])
  })

  it('the translation of a guess hides no word that was said since', () => {
    const state = after(
      READ,
      guess('a', 'the weather', 1),
      guess('a', 'the weather will', 2),
      guess('a', 'The weather, will be cold', 3),
      translation('a', 'le temps', 1, false),
    )
    expect(page(state)).toEqual(['le temps [will be cold]'])
    const then = (text: string) =>
      page(reducer(state, heard({ ...VIEWER, message: guess('a', text, 4) })))
    expect(then('the weather was cold here')).toEqual(['le temps [was cold here]'])
    expect(then('they went')).toEqual(['[they went]'])
  })

  it('an older translation does not replace a newer one', () => {
    const state = after(
      READ,
      guess('a', 'one', 1),
      guess('a', 'one two', 2),
      translation('a', 'un deux', 2, false),
      translation('a', 'un', 1, false),
    )
    expect(page(state)).toEqual(['un deux'])
  })

  it('the translation of a guess stays over its final, and comes not after it', () => {
    const said: Step[] = [READ, guess('a', 'one two', 1), guess('a', 'one two three', 2)]
    const early = after(
      ...said,
      translation('a', 'un deux', 1, false),
      final('a', 'one two three four'),
    )
    expect(page(early)).toEqual(['un deux [three four]'])
    expect(page(reducer(early, languageChosen('de')))).toEqual(['[one two three four]'])
    const late = after(
      ...said,
      final('a', 'one two three'),
      translation('a', 'un deux trois', 3),
      translation('a', 'un deux', 1, false),
    )
    expect(page(late)).toEqual(['un deux trois'])
  })

  it('a guess that was taken back takes its translations with it', () => {
    const state = after(
      READ,
      guess('a', 'cough', 1),
      guess('a', '', 2),
      translation('a', 'toux', 1, false),
      guess('a', 'hello', 3),
    )
    expect(page(state)).toEqual(['[hello]'])
  })

  it("the page's own speech is translated, too, which comes over the other socket", () => {
    const own: Step = [guess('a', 'hello', 1), { source: 'speaker' }]
    expect(page(after(READ, own, translation('a', 'bonjour', 1, false)))).toEqual(['bonjour'])
  })

  it('a snapshot is translated as it comes, and again after a reconnect', () => {
    const past = snapshot(utterance('a', 'one', 1), utterance('b', 'two', 2))
    const state = after(READ, past, translation('b', 'deux', 1), translation('a', 'un', 1), past)
    expect(page(state)).toEqual(['un', 'deux'])
  })

  it('what comes for an utterance that is not on the page is left out', () => {
    const state = after(READ, translation('constructor', 'x', 1), translation('b', 'y', 1, false))
    expect(page(state)).toEqual([])
  })

  it('another language begins anew, and the first is still there on return', () => {
    const steps: Step[] = [READ, guess('b', 'open', 2), translation('b', 'ouvert', 2, false)]
    const before: Step[] = [...steps, final('a', 'one'), translation('a', 'un', 1)]
    expect(page(after(...before))).toEqual(['un', 'ouvert'])
    expect(page(after(...before, { read: 'de' }))).toEqual(['[one]', '[open]'])
    expect(page(after(...before, { read: undefined }))).toEqual(['[one]', '[open]'])
    expect(page(after(...before, { read: undefined }, READ))).toEqual(['un', '[open]'])
  })

  it('every utterance is read out once, in the language that is read if it comes in time', () => {
    const late = NOW + TRANSLATION_PATIENCE
    const state = after(
      READ,
      final('a', 'one', 1),
      { ...final('b', 'déjà', 2), language: 'fr-CA' },
      final('c', 'three', 3),
      translation('c', 'trois', 1),
      translation('c', 'trois', 1),
      translation('a', 'un', 1),
      final('d', 'four', 4),
      [heartbeat, { now: late }],
      translation('d', 'quatre', 1),
    )
    expect(read(state)).toEqual(['déjà', 'trois', 'un', 'four'])
    expect(page(state)).toEqual(['un', '[déjà]', 'trois', 'quatre'])
  })

  it('a final whose translation does not come is shown whole, as it was said', () => {
    const said: Step[] = [READ, guess('a', 'one', 1), translation('a', 'un', 1, false)]
    const state = after(...said, final('a', 'one two'), [
      heartbeat,
      { now: NOW + TRANSLATION_PATIENCE },
    ])
    expect(page(state)).toEqual(['[one two]'])
  })

  it('what was on the page already is not read out again in another language', () => {
    expect(read(after(final('a', 'one'), READ, translation('a', 'un', 1)))).toEqual([])
  })
})

it('keeps apart who speaks at one microphone, and how much of a guess will stay', () => {
  const words = ['so', 'far'].map((word) => ({ word, startTime: 0, endTime: 1, confidence: 1 }))
  const state = after(
    { ...partial('a', 'so far'), words, stableWords: 1, speakerLabel: 'spk_0' },
    { ...final('b', 'right side'), channel: 1 },
  )
  expect(state.drafts.a).toMatchObject({ stable: 2, speakerLabel: 'spk_0' })
  expect(state.captions[0]).toMatchObject({ speaker: 'Ada', channel: 1 })
})
