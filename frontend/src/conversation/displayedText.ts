/** The text of an utterance that a reader sees: the original, its translation, or both in part. */

import { isReadable } from '../language/tags.ts'

/** A text and its language, a BCP 47 tag. */
export interface Wording {
  text: string
  language: string
}

/** The translation of a partial. */
export interface PartialTranslation extends Wording {
  /** The number of the partial that it translates. */
  seq: number
  /** The text of that partial. The translation lacks what was said since. */
  source: string
}

export interface TranslatableText extends Wording {
  /** Translations of the final, keyed by the language that was requested. */
  translations?: Record<string, Wording>
  partialTranslation?: PartialTranslation | undefined
}

export interface DisplayedText {
  /** `awaited`: the original, until its translation arrives; `missing`: no translation will. */
  state: 'original' | 'translated' | 'awaited' | 'missing'
  main: Wording
  /** The original of what was said after the translated part. */
  rest?: Wording
}

/**
 * Chooses the text to show of an utterance.
 *
 * @param wanted the reader's language; undefined for the originals
 * @param awaited whether a translation may still arrive
 */
export function chooseDisplayedText(
  utterance: TranslatableText,
  wanted: string | undefined,
  awaited: boolean,
): DisplayedText {
  const { text, language, translations, partialTranslation } = utterance
  const original: Wording = { text, language }
  if (wanted === undefined) return { state: 'original', main: original }
  const settled = translations?.[wanted]
  if (settled !== undefined) {
    // The translator returns a text that is in the reader's language already as it is.
    return { state: settled.text === text ? 'original' : 'translated', main: settled }
  }
  if (partialTranslation !== undefined) {
    const rest = findRest(partialTranslation.source, text)
    if (rest !== undefined && partialTranslation.text === partialTranslation.source) {
      return { state: 'original', main: { text, language: partialTranslation.language } }
    }
    const main: Wording = { text: partialTranslation.text, language: partialTranslation.language }
    if (rest === '') return { state: 'translated', main }
    if (rest !== undefined) return { state: 'translated', main, rest: { text: rest, language } }
  }
  if (isReadable(language, wanted)) return { state: 'original', main: original }
  return { state: awaited ? 'awaited' : 'missing', main: original }
}

/**
 * Finds what `text` has in addition to `source`, an earlier partial of the same utterance.
 * Undefined when more than half of that partial was revised, so that its translation is wrong.
 */
export function findRest(source: string, text: string): string | undefined {
  const before = splitWords(source)
  const now = splitWords(text)
  const changed = before.findIndex((part, at) => normalise(part) !== normalise(now[at] ?? ''))
  const kept = changed === -1 ? before.length : changed
  if (2 * kept < before.length) return undefined
  return now
    .slice(before.length)
    .join(isSpaced(text) ? ' ' : '')
    .trim()
}

/** Splits a text into words, or into characters where it is written without spaces. */
function splitWords(text: string): string[] {
  return isSpaced(text) ? text.trim().split(/\s+/) : Array.from(text.trim())
}

/** Chinese, Japanese and Thai put no spaces between words. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u

function isSpaced(text: string): boolean {
  return !UNSPACED.test(text)
}

/** Removes what recognisers change in a word that stays the same: case and punctuation. */
function normalise(part: string): string {
  return part.toLowerCase().replace(/[\p{P}\s]/gu, '')
}
