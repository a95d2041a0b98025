import type { Word } from '../protocol.ts'

/** What may stand between two words: no letter and no digit of a word that was passed over. */
const BETWEEN = /^[^\p{L}\p{N}]*$/u

/**
 * How many characters of `text` its first `count` words take, punctuation after them left out.
 *
 * The text has signs that the words have not; undefined where the words are not all found in it
 * one after the other, for then nobody knows where in the text a word is.
 */
export function stableLength(
  text: string,
  words: readonly Word[],
  count: number,
): number | undefined {
  if (count > words.length) return undefined
  let end = 0
  let stable = 0
  for (const [index, { word }] of words.entries()) {
    const at = text.indexOf(word, end)
    if (word === '' || at === -1 || !BETWEEN.test(text.slice(end, at))) return undefined
    end = at + word.length
    if (index < count) stable = end
  }
  return BETWEEN.test(text.slice(end)) ? stable : undefined
}
