import { expect, it } from 'vitest'

import type { Error as ErrorMessage } from '../protocol.ts'
import { isPassing, serverProblem } from './serverProblems.ts'

/** An error whose code only a newer server knows. */
const NEWER = { type: 'error', code: 'too_tired', message: 'Zzz.', retryable: true }

it('goes by what a newer server says of a code that the page does not know', () => {
  const error = NEWER as unknown as ErrorMessage
  expect(isPassing(error)).toBe(true)
  expect(isPassing({ ...error, retryable: false })).toBe(false)
  expect(serverProblem(error)).toEqual({ title: 'The server refused.', advice: 'Zzz.' })
})

it('comes back only where that helps', () => {
  const error: ErrorMessage = { type: 'error', code: 'engine_failed', message: '', retryable: true }
  expect(isPassing(error)).toBe(true)
  expect(isPassing({ ...error, code: 'engine_refused', retryable: false })).toBe(false)
})
