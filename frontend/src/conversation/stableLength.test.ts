import { expect, it } from 'vitest'

import { countStableCharacters } from './stableLength.ts'

const words = (text: string) =>
  text.split(' ').map((word) => ({ word, startTime: 0, endTime: 1, confidence: 1 }))

it.each([
  ['Hello, world', 'Hello world', 1, 'Hello'],
  ['Hello, world', 'Hello world', 2, 'Hello, world'],
  ['Hello, world!', 'Hello world', 0, ''],
  ['to be or not to be', 'to be or not to be', 5, 'to be or not to'],
  ['“No” – I said', 'No I said', 2, '“No” – I'],
])('of %j with the words %j the first %i make %j', (text, spoken, count, stable) => {
  expect(text.slice(0, countStableCharacters(text, words(spoken), count))).toBe(stable)
})

it.each([
  ['hello world', 'Hello world', 1],
  ['hello brave world', 'hello world', 1],
  ['hello world again', 'hello world', 1],
  ['twenty-one', '21', 1],
  ['hello', 'hello', 2],
])('is unknown for %j with the words %j', (text, spoken, count) => {
  expect(countStableCharacters(text, words(spoken), count)).toBeUndefined()
})
