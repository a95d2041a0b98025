/** The microphones, and the chosen one. */

import { createSlice, type PayloadAction } from '@reduxjs/toolkit'

import type { Device } from '../audio/devices.ts'
import { readSetting } from '../shared/settings.ts'

export interface MicrophonesState {
  devices: Device[]
  /** A device id; an empty text for the system's default. */
  chosen: string
}

export const microphonesSlice = createSlice({
  name: 'microphones',
  initialState: (): MicrophonesState => ({ devices: [], chosen: readSetting('microphone') }),
  reducers: {
    listed(state, { payload }: PayloadAction<Device[]>) {
      state.devices = payload
      // Without permission the list is empty, and the previous choice may still be connected.
      if (payload.length > 0 && !payload.some(({ id }) => id === state.chosen)) state.chosen = ''
    },
    chosen(state, { payload }: PayloadAction<string>) {
      state.chosen = payload
    },
  },
})

export const selectMicrophones = (state: { microphones: MicrophonesState }) => state.microphones
