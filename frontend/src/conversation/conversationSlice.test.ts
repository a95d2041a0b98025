import { describe, expect, it } from 'vitest'

import { languageChosen } from '../language/languageSlice.ts'
import type { Final, Heartbeat, Partial, Snapshot, Translation, Utterance } from '../protocol.ts'
import {
  type ConversationState,
  conversationSlice,
  DRAFT_LIFETIME,
  messageReceived,
  MOST_CAPTIONS,
  ownStreamEnded,
  snapshotCompleted,
  SNAPSHOT_REACH,
  type Source,
  TRANSLATION_PATIENCE,
} from './conversationSlice.ts'
import { chooseDisplayedText } from './displayedText.ts'

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
  more: false,
  gap: false,
})

const heartbeat: Heartbeat = { type: 'heartbeat', conversationId: 'c', seq: 1 }

type Message = Final | Partial | Snapshot | Heartbeat | Translation
type Step =
  | Message
  | [Message, { source?: Source; now?: number; isContinued?: boolean }]
  | { read: string | undefined }
  | 'own stream ended'

function after(...steps: Step[]): ConversationState {
  return steps.reduce<ConversationState>(
    (state, step) => {
      if (step === 'own stream ended') return reducer(state, ownStreamEnded())
      if ('read' in step) return reducer(state, languageChosen(step.read))
      const [message, { source = 'viewer', now = NOW, isContinued = false }] = Array.isArray(step)
        ? step
        : [step, {}]
      return reducer(state, messageReceived({ message, source, now, isContinued }))
    },
    reducer(undefined, { type: 'start' }),
  )
}

const texts = (state: ConversationState) => state.captions.map(({ text }) => text)
const open = (state: ConversationState) => Object.values(state.drafts).map(({ text }) => text)

describe('finals', () => {
  it('are shown in order of time, in whatever order they arrive', () => {
    const state = after(
      final('b', 'second', 2),
      final('c', 'third', 3),
      final('a', 'first', 1),
      final('e', 'same moment, by its id', 3, 5),
      final('d', 'same moment', 3, 9),
    )
    expect(texts(state)).toEqual([
      'first',
      'second',
      'third',
      'same moment',
      'same moment, by its id',
    ])
  })

  it('are never changed and never shown twice', () => {
    expect(texts(after(final('a', 'said'), final('a', 'changed'), final('a', 'said')))).toEqual([
      'said',
    ])
  })

  it('replace their partial, and a late partial is ignored', () => {
    const state = after(partial('a', 'gue'), final('a', 'guess'), partial('a', 'gues'))
    expect(texts(state)).toEqual(['guess'])
    expect(open(state)).toEqual([])
  })

  it('do not affect the partials of other utterances', () => {
    expect(open(after(partial('a', 'one'), partial('b', 'two'), final('a', 'one')))).toEqual([
      'two',
    ])
  })

  it('may have an id that is the name of an inherited property', () => {
    expect(texts(after(final('constructor', 'x'), partial('toString', 'y')))).toEqual(['x'])
  })
})

describe('partials', () => {
  it('replace the previous one, and keep the time of the first', () => {
    const state = after(partial('a', 'wreck a'), [partial('a', 'recognise'), { now: NOW + 500 }])
    expect(open(state)).toEqual(['recognise'])
    expect(state.drafts.a).toMatchObject({ since: NOW, updatedAt: NOW + 500 })
  })

  it('with an empty text remove the draft', () => {
    expect(open(after(partial('a', 'cough'), partial('a', '')))).toEqual([])
    expect(open(after(partial('a', '')))).toEqual([])
  })

  it('after an empty one start a draft again', () => {
    const again = after(partial('a', 'cough'), partial('a', ''), partial('a', 'coffee'))
    expect(open(again)).toEqual(['coffee'])
    expect(
      texts(reducer(again, messageReceived({ message: final('a', 'coffee'), ...VIEWER }))),
    ).toEqual(['coffee'])
  })

  it('of the own speech are taken from one socket only, or they would flicker', () => {
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

  it('whose final was lost are removed after a while', () => {
    const late: Step = [heartbeat, { now: NOW + DRAFT_LIFETIME + 1 }]
    expect(open(after(partial('a', 'one'), [heartbeat, { now: NOW + 10_000 }]))).toEqual(['one'])
    expect(open(after(partial('a', 'one'), late))).toEqual([])
  })
})

describe('a snapshot after a reconnect', () => {
  it('adds the missed finals in their place, and none twice', () => {
    const state = after(
      final('a', 'before', 1),
      final('d', 'on the other socket', 4),
      snapshot(utterance('a', 'before', 1), utterance('b', 'missed', 2)),
      final('b', 'missed', 2),
    )
    expect(texts(state)).toEqual(['before', 'missed', 'on the other socket'])
  })

  it('removes no captions, although it reaches back two minutes only', () => {
    expect(texts(after(final('a', 'long ago'), snapshot()))).toEqual(['long ago'])
  })

  it('removes older drafts, but not those of the own stream', () => {
    const own: Step = [partial('b', 'own'), { source: 'speaker' }]
    expect(open(after(partial('a', 'stale'), own, snapshot()))).toEqual(['own'])
  })

  it('removes drafts that became final meanwhile', () => {
    const own: Step = [partial('a', 'own'), { source: 'speaker' }]
    const state = after(own, snapshot(utterance('a', 'own words')))
    expect(open(state)).toEqual([])
    expect(texts(state)).toEqual(['own words'])
  })
})

describe('a gap while the page was away', () => {
  const back = NOW + SNAPSHOT_REACH + 60_000

  it('is marked where no snapshot reaches back', () => {
    const state = after(
      [final('a', 'before', 1), { now: NOW }],
      [snapshot(utterance('a', 'before', 1), utterance('b', 'back', 2)), { now: back }],
      [final('c', 'later', 3), { now: back }],
    )
    const gap = { from: NOW, to: back - SNAPSHOT_REACH }
    expect(state.captions.map((caption) => caption.gap)).toEqual([undefined, gap, undefined])
  })

  it('is marked before the first new caption, whenever that arrives', () => {
    const state = after(
      [final('a', 'before', 1), { now: NOW }],
      [snapshot(), { now: back }],
      [final('b', 'later', 3), { now: back + 60_000 }],
    )
    expect(state.captions.map(({ gap }) => gap === undefined)).toEqual([true, false])
  })

  it('is not marked where the snapshot goes on from the last message, however long ago', () => {
    const state = after(
      [final('a', 'before', 1), { now: NOW }],
      [
        { ...snapshot(utterance('b', 'missed', 2)), more: true },
        { now: back, isContinued: true },
      ],
      [snapshot(utterance('c', 'missed too', 3)), { now: back, isContinued: true }],
    )
    expect(texts(state)).toEqual(['before', 'missed', 'missed too'])
    expect(state.captions.some(({ gap }) => gap !== undefined)).toBe(false)
  })

  it('is marked where the server cannot go on from there, however short the absence', () => {
    const soon = NOW + 10_000
    const state = after(
      [final('a', 'before', 1), { now: NOW }],
      [{ ...snapshot(utterance('b', 'back', 2)), gap: true }, { now: soon }],
    )
    expect(state.captions.map(({ gap }) => gap)).toEqual([undefined, { from: NOW, to: NOW }])
  })

  it('is not marked after a short absence, nor before the page was opened', () => {
    const state = after(
      [snapshot(utterance('a', 'before', 1)), { now: NOW }],
      [snapshot(utterance('b', 'back', 2)), { now: NOW + SNAPSHOT_REACH }],
    )
    expect(state.captions.some(({ gap }) => gap !== undefined)).toBe(false)
  })
})

describe('earlier words', () => {
  const earlier = snapshot(utterance('a', 'before this page came'))

  it('may exist when somebody spoke before the page connected', () => {
    expect(after(earlier).hasEarlierWords).toBe(true)
    expect(after(earlier, snapshot()).hasEarlierWords).toBe(true)
  })

  it('do not exist when the conversation begins on this page', () => {
    expect(after(snapshot(), final('b', 'the first'), earlier).hasEarlierWords).toBe(false)
  })

  it('are unknown until a snapshot is complete', () => {
    const partly = after({ ...snapshot(), complete: false })
    expect(partly.hasEarlierWords).toBeUndefined()
    expect(reducer(partly, snapshotCompleted([utterance('a', 'earlier')])).hasEarlierWords).toBe(
      true,
    )
  })
})

describe('a snapshot that the server could not complete', () => {
  const partly: Snapshot = { ...snapshot(utterance('b', 'second', 2)), complete: false }

  it('is marked as incomplete until a complete one arrives', () => {
    const state = after(partial('c', 'being said'), partly, partial('d', 'being said'))
    expect(state.isIncomplete).toBe(true)
    const whole = reducer(
      state,
      snapshotCompleted([utterance('a', 'first', 1), utterance('b', 'second', 2)]),
    )
    expect(whole.isIncomplete).toBe(false)
    expect(texts(whole)).toEqual(['first', 'second'])
    expect(open(whole)).toEqual(['being said'])
  })

  it('is no longer marked after a complete one', () => {
    expect(after(partly, snapshot()).isIncomplete).toBe(false)
  })
})

it('keeps the newest captions of a conversation of many hours', () => {
  const count = MOST_CAPTIONS + 250
  const all = Array.from({ length: count }, (_, n) => utterance(`${n}`, `${n}`, n))
  // One by one around the bound only: a reducer copies the list for every message.
  const state = after(
    snapshot(...all.slice(0, -100)),
    ...all.slice(-100).map(({ utteranceId, text }) => final(utteranceId, text, Number(text))),
  )
  expect(state.captions.length).toBeLessThan(MOST_CAPTIONS + 200)
  expect(state.captions.length).toBeGreaterThanOrEqual(MOST_CAPTIONS)
  expect(Object.keys(state.known)).toHaveLength(state.captions.length)
  expect(texts(state).at(-1)).toBe(`${count - 1}`)
  expect(state.isTrimmed).toBe(true)
  const late = messageReceived({ message: final('0', '0', 0), ...VIEWER })
  expect(texts(reducer(state, late))).toEqual(texts(state))
})

describe('in another language', () => {
  const READ = { read: 'fr' } as const
  const partialOf = (id: string, text: string, seq: number): Partial => ({
    ...partial(id, text),
    seq,
  })
  const translation = (id: string, text: string, seq: number, isFinal = true): Translation => ({
    ...{ type: 'translation', conversationId: 'c', utteranceId: id, sourceLanguage: 'en-US' },
    ...{ language: 'fr', text, isFinal, seq },
  })

  /** The texts on the page; what is not translated is in brackets. */
  const page = (state: ConversationState) =>
    [
      ...state.captions.map((each) =>
        chooseDisplayedText(each, state.language, Object.hasOwn(state.awaited, each.utteranceId)),
      ),
      ...Object.values(state.drafts).map((each) => chooseDisplayedText(each, state.language, true)),
    ].map(({ state: is, main, rest }) =>
      is === 'translated'
        ? [main.text, ...(rest === undefined ? [] : [`[${rest.text}]`])].join(' ')
        : `[${main.text}]`,
    )
  const read = (state: ConversationState) => state.announcements.map(({ text }) => text)

  it('finals are shown in the original until their translation arrives', () => {
    const waiting = after(READ, final('a', 'hello'), final('b', 'bye', 1))
    expect(page(waiting)).toEqual(['[hello]', '[bye]'])
    const one = after(READ, final('a', 'hello'), final('b', 'bye', 1), translation('b', 'ciao', 1))
    expect(page(one)).toEqual(['[hello]', 'ciao'])
  })

  it('the translation of a partial is followed by the words spoken since', () => {
    const state = after(
      READ,
      partialOf('a', 'the weather', 1),
      partialOf('a', 'the weather will', 2),
      partialOf('a', 'The weather, will be cold', 3),
      translation('a', 'le temps', 1, false),
    )
    expect(page(state)).toEqual(['le temps [will be cold]'])
    const then = (text: string) =>
      page(reducer(state, messageReceived({ ...VIEWER, message: partialOf('a', text, 4) })))
    expect(then('the weather was cold here')).toEqual(['le temps [was cold here]'])
    expect(then('they went')).toEqual(['[they went]'])
  })

  it('an older translation does not replace a newer one', () => {
    const state = after(
      READ,
      partialOf('a', 'one', 1),
      partialOf('a', 'one two', 2),
      translation('a', 'un deux', 2, false),
      translation('a', 'un', 1, false),
    )
    expect(page(state)).toEqual(['un deux'])
  })

  it('the translation of a partial stays until the final is translated, and is ignored afterwards', () => {
    const before: Step[] = [READ, partialOf('a', 'one two', 1), partialOf('a', 'one two three', 2)]
    const early = after(
      ...before,
      translation('a', 'un deux', 1, false),
      final('a', 'one two three four'),
    )
    expect(page(early)).toEqual(['un deux [three four]'])
    expect(page(reducer(early, languageChosen('de')))).toEqual(['[one two three four]'])
    const late = after(
      ...before,
      final('a', 'one two three'),
      translation('a', 'un deux trois', 3),
      translation('a', 'un deux', 1, false),
    )
    expect(page(late)).toEqual(['un deux trois'])
  })

  it('an empty partial removes the translations of the earlier ones', () => {
    const state = after(
      READ,
      partialOf('a', 'cough', 1),
      partialOf('a', '', 2),
      translation('a', 'toux', 1, false),
      partialOf('a', 'hello', 3),
    )
    expect(page(state)).toEqual(['[hello]'])
  })

  it("the page's own speech, which arrives over the other socket, is translated too", () => {
    const own: Step = [partialOf('a', 'hello', 1), { source: 'speaker' }]
    expect(page(after(READ, own, translation('a', 'bonjour', 1, false)))).toEqual(['bonjour'])
  })

  it('a snapshot keeps its translations after a reconnect', () => {
    const past = snapshot(utterance('a', 'one', 1), utterance('b', 'two', 2))
    const state = after(READ, past, translation('b', 'deux', 1), translation('a', 'un', 1), past)
    expect(page(state)).toEqual(['un', 'deux'])
  })

  it('a translation of an utterance that is not on the page is ignored', () => {
    const state = after(READ, translation('constructor', 'x', 1), translation('b', 'y', 1, false))
    expect(page(state)).toEqual([])
  })

  it('another language starts without translations, and a return to the first restores them', () => {
    const steps: Step[] = [READ, partialOf('b', 'open', 2), translation('b', 'ouvert', 2, false)]
    const before: Step[] = [...steps, final('a', 'one'), translation('a', 'un', 1)]
    expect(page(after(...before))).toEqual(['un', 'ouvert'])
    expect(page(after(...before, { read: 'de' }))).toEqual(['[one]', '[open]'])
    expect(page(after(...before, { read: undefined }))).toEqual(['[one]', '[open]'])
    expect(page(after(...before, { read: undefined }, READ))).toEqual(['un', '[open]'])
  })

  it('every utterance is announced once, translated if the translation arrives in time', () => {
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

  it('a final whose translation does not arrive is shown whole in the original', () => {
    const before: Step[] = [READ, partialOf('a', 'one', 1), translation('a', 'un', 1, false)]
    const state = after(...before, final('a', 'one two'), [
      heartbeat,
      { now: NOW + TRANSLATION_PATIENCE },
    ])
    expect(page(state)).toEqual(['[one two]'])
  })

  it('captions that are on the page are not announced again in another language', () => {
    expect(read(after(final('a', 'one'), READ, translation('a', 'un', 1)))).toEqual([])
  })
})

it('distinguishes speakers at one microphone, and marks the stable part of a partial', () => {
  const words = ['so', 'far'].map((word) => ({ word, startTime: 0, endTime: 1, confidence: 1 }))
  const state = after(
    { ...partial('a', 'so far'), words, stableWords: 1, speakerLabel: 'spk_0' },
    { ...final('b', 'right side'), channel: 1 },
  )
  expect(state.drafts.a).toMatchObject({ stable: 2, speakerLabel: 'spk_0' })
  expect(state.captions[0]).toMatchObject({ speaker: 'Ada', channel: 1 })
})
