import { expect, it } from 'vitest'

import { toReturnPath } from './returnPath.ts'

it.each([
  ['/#/c/abc', '/#/c/abc'],
  ['/?language=fr#/', '/?language=fr#/'],
  ['//evil.example/', '/'],
  ['/\\evil.example/', '/'],
  ['/\t/evil.example/', '/'],
  ['https://evil.example/', '/'],
  ['javascript:alert(1)', '/'],
  ['https://host.evil.example/', '/'],
  ['', '/'],
  [undefined, '/'],
])('returns from a sign-in at %j to %j', (path, expected) => {
  expect(toReturnPath(path, 'https://host')).toBe(expected)
})
