/** How an utterance is shown to somebody who reads another language than was spoken. */

import { isReadable } from '../language/tags.ts'

/** A text and its language, a BCP 47 tag. */
export interface Wording {
  text: string
  language: string
}

/** The translation of a guess. */
export interface Rendering extends Wording {
  /** Of the partial that it translates. */
  seq: number
  /** The text of that partial: what was said since is not in the translation. */
  source: string
}

export interface Readable extends Wording {
  /** Of the finished utterance, by the language that was asked for. */
  translations?: Record<string, Wording>
  rendering?: Rendering
}

export interface Shown {
  /** `awaited`: it is the original, and a translation is on its way; `missing`: none is. */
  state: 'original' | 'translated' | 'awaited' | 'missing'
  main: Wording
  /** What was said after that which is translated, as it was said. */
  rest?: Wording
}

/**
 * What to show of an utterance.
 *
 * @param wanted the language that is read; undefined for the originals
 * @param awaited whether a translation may still come
 */
export function shownOf(utterance: Readable, wanted: string | undefined, awaited: boolean): Shown {
  const { text, language, translations, rendering } = utterance
  const original: Wording = { text, language }
  if (wanted === undefined) return { state: 'original', main: original }
  const settled = translations?.[wanted]
  if (settled !== undefined) {
    // What turned out to be in the reader's language comes back as it was said.
    return { state: settled.text === text ? 'original' : 'translated', main: settled }
  }
  if (rendering !== undefined) {
    const rest = restOf(rendering.source, text)
    if (rest !== undefined && rendering.text === rendering.source) {
      return { state: 'original', main: { text, language: rendering.language } }
    }
    const main: Wording = { text: rendering.text, language: rendering.language }
    if (rest === '') return { state: 'translated', main }
    if (rest !== undefined) return { state: 'translated', main, rest: { text: rest, language } }
  }
  if (isReadable(language, wanted)) return { state: 'original', main: original }
  return { state: awaited ? 'awaited' : 'missing', main: original }
}

/**
 * What `text` has more than `source`, a guess of a moment before; undefined when more than half
 * of that guess has been revised, so that its translation says something else.
 */
export function restOf(source: string, text: string): string | undefined {
  const before = partsOf(source)
  const now = partsOf(text)
  const changed = before.findIndex((part, at) => bare(part) !== bare(now[at] ?? ''))
  const kept = changed === -1 ? before.length : changed
  if (2 * kept < before.length) return undefined
  return now
    .slice(before.length)
    .join(isSpaced(text) ? ' ' : '')
    .trim()
}

/** The words, or the characters of a text that is written without spaces. */
function partsOf(text: string): string[] {
  return isSpaced(text) ? text.trim().split(/\s+/) : Array.from(text.trim())
}

/** Chinese, Japanese and Thai put no spaces between words. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u

function isSpaced(text: string): boolean {
  return !UNSPACED.test(text)
}

/** Recognisers add a comma or a capital to a word that stays the same. */
function bare(part: string): string {
  return part.toLowerCase().replace(/[\p{P}\s]/gu, '')
}
