import { expect, it } from 'vitest'

import { explainRefusal } from './refusals.ts'

const problem = (reason: string, detail = 'Words of the API.') => ({ reason, detail })

it.each(['not_signed_in', 'token_invalid', 'blocked', 'not_found', 'link_invalid', 'role_missing'])(
  'has its own words for %s, and does not try again',
  (reason) => {
    const refusal = explainRefusal(403, problem(reason))
    expect(refusal).toMatchObject({ reason, isTransient: false })
    expect(refusal.advice).not.toBe('Words of the API.')
  },
)

it('passes on the words of a reason that it does not know', () => {
  expect(explainRefusal(409, problem('too_many'))).toMatchObject({
    title: 'The server refused.',
    advice: 'Words of the API.',
  })
  expect(explainRefusal(400, problem('constructor')).advice).toBe('Words of the API.')
})

it.each([
  [undefined, undefined],
  [503, problem('unavailable')],
  [429, { message: 'Too Many Requests' }],
  [502, null],
])('tries again after %s', (status, body) => {
  expect(explainRefusal(status, body).isTransient).toBe(true)
})
