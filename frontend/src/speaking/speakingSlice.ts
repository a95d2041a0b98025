/** The state of the page's own stream. */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import type { Problem } from '../shared/problem.ts'
import type { Ready } from '../protocol.ts'

export type Phase =
  | 'idle'
  /** The browser asks the user for permission. */
  | 'asking'
  | 'connecting'
  | 'listening'
  /** The page waits for its next attempt to connect. */
  | 'waiting'
  /** The line is down; the microphone is on, and its audio is kept. */
  | 'reconnecting'
  /** The microphone is off, and the last finals have not arrived. */
  | 'stopping'

export interface SpeakingState {
  phase: Phase
  problem?: Problem | undefined
  /** When the next attempt begins, in milliseconds since 1970. */
  retryAt?: number | undefined
  /** The longest stream, from the server's `ready`; kept until the next start. */
  maxSeconds?: number | undefined
  /** The captions' delay behind the microphone, in seconds. */
  lag: number
  /** Audio that is kept until the server has stored its words, in seconds. */
  kept: number
  /** Audio that could not be sent, in seconds. */
  lost: number
  /** No more audio can be kept, so the oldest is being lost. */
  isFull: boolean
  /** The line is down, and the page connects again; while it listens or stops. */
  isAway: boolean
  /** The microphone is open but silent. */
  silent: boolean
}

type Progress = Pick<SpeakingState, 'lag' | 'kept' | 'lost' | 'isFull'>

const initialState = {
  phase: 'idle',
  lag: 0,
  kept: 0,
  lost: 0,
  isFull: false,
  isAway: false,
  silent: false,
} as SpeakingState

export const speakingSlice = createSlice({
  name: 'speaking',
  initialState,
  reducers: {
    permissionRequested: (): SpeakingState => ({ ...initialState, phase: 'asking' }),
    connecting(state) {
      state.phase = 'connecting'
      state.retryAt = undefined
    },
    listening(state, { payload }: PayloadAction<Ready>) {
      if (state.phase !== 'stopping') state.phase = 'listening'
      state.problem = undefined
      state.retryAt = undefined
      state.isAway = false
      state.maxSeconds = payload.maxSeconds
    },
    waiting(state, { payload }: PayloadAction<{ problem: Problem; retryAt: number }>) {
      state.phase = 'waiting'
      state.problem = payload.problem
      state.retryAt = payload.retryAt
    },
    reconnecting(
      state,
      { payload }: PayloadAction<{ problem: Problem; retryAt: number | undefined }>,
    ) {
      if (state.phase !== 'stopping') state.phase = 'reconnecting'
      state.isAway = true
      state.problem = payload.problem
      state.retryAt = payload.retryAt
    },
    progressed(state, { payload }: PayloadAction<Progress>) {
      Object.assign(state, payload)
    },
    silenceChanged(state, { payload }: PayloadAction<boolean>) {
      state.silent = payload
    },
    stopping(state) {
      state.phase = 'stopping'
      state.silent = false
    },
    ended(state, { payload: problem }: PayloadAction<Problem | undefined>) {
      state.phase = 'idle'
      state.problem = problem
      state.retryAt = undefined
      state.lag = 0
      state.kept = 0
      state.isFull = false
      state.isAway = false
      state.silent = false
    },
  },
})

interface Root {
  speaking: SpeakingState
}

export const selectSpeaking = ({ speaking }: Root) => speaking
export const selectPhase = ({ speaking }: Root) => speaking.phase
