import type { Dispatch } from '@reduxjs/toolkit'

import { listMicrophones, onDeviceChange } from '../audio/devices.ts'
import { microphonesSlice } from './microphonesSlice.ts'

/** Keeps the list of microphones up to date for as long as the page is open. */
export function watchMicrophones(dispatch: Dispatch): void {
  const refresh = () => {
    void listMicrophones().then((devices) => dispatch(microphonesSlice.actions.listed(devices)))
  }
  onDeviceChange(refresh)
  refresh()
}
