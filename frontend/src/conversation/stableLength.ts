import type { Word } from '../protocol.ts'

/** Text between two words. A letter or a digit in it would belong to a word that was skipped. */
const BETWEEN = /^[^\p{L}\p{N}]*$/u

/**
 * Counts the characters of `text` up to the end of its first `count` words, without punctuation
 * after them.
 *
 * The text has punctuation that the words lack. Undefined where `text` does not consist of the
 * words in their order, because the place of a word is then unknown.
 */
export function countStableCharacters(
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
