import { expect, it } from 'vitest'

import type { Error as ErrorMessage } from '../protocol.ts'
import { isTransient, describeError } from './serverProblems.ts'

/** An error with a code of a newer server. */
const NEWER = { type: 'error', code: 'too_tired', message: 'Zzz.', retryable: true }

it("uses the server's own words for a code that the page does not know", () => {
  const error = NEWER as unknown as ErrorMessage
  expect(isTransient(error)).toBe(true)
  expect(isTransient({ ...error, retryable: false })).toBe(false)
  expect(describeError(error)).toEqual({ title: 'The server refused.', advice: 'Zzz.' })
})

it('is transient only where a retry helps', () => {
  const error: ErrorMessage = { type: 'error', code: 'engine_failed', message: '', retryable: true }
  expect(isTransient(error)).toBe(true)
  expect(isTransient({ ...error, code: 'engine_refused', retryable: false })).toBe(false)
})
