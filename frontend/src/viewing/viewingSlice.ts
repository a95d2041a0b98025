/** The state of the page's subscription to the conversation. */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import type { Problem } from '../shared/problem.ts'

export interface ViewingState {
  status: 'connecting' | 'live' | 'waiting' | 'ended'
  problem?: Problem | undefined
  /** When the next attempt begins, in milliseconds since 1970. */
  retryAt?: number | undefined
  /** When the last message came before the connection was lost, in milliseconds since 1970. */
  behindSince?: number | undefined
}

interface Waiting {
  problem: Problem
  retryAt: number | undefined
  since: number | undefined
}

const initialState = { status: 'connecting' } as ViewingState

export const viewingSlice = createSlice({
  name: 'viewing',
  initialState,
  reducers: {
    // The problem stays on the page until the connection is live.
    connecting: ({ problem, behindSince }): ViewingState => ({
      status: 'connecting',
      problem,
      behindSince,
    }),
    live: (): ViewingState => ({ status: 'live' }),
    waiting: (
      _,
      { payload: { problem, retryAt, since } }: PayloadAction<Waiting>,
    ): ViewingState => ({ status: 'waiting', problem, retryAt, behindSince: since }),
    ended: (_, { payload: problem }: PayloadAction<Problem>): ViewingState => ({
      status: 'ended',
      problem,
    }),
  },
})

export const selectViewing = (state: { viewing: ViewingState }) => state.viewing
