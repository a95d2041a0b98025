import { configureStore } from '@reduxjs/toolkit'

import { api, type Extra } from '../accounts/api.ts'
import { signInSlice } from '../accounts/signIn.ts'
import { reducers } from './store.ts'

/** Returns the state of a page on which people sign in. */
export function createAccountStore(extra: Extra) {
  return configureStore({
    reducer: { ...reducers, api: api.reducer, signIn: signInSlice.reducer },
    middleware: (getDefault) =>
      getDefault({ thunk: { extraArgument: extra } }).concat(api.middleware),
    // A browser's developer tools would keep secrets that are shown once.
    devTools: false,
  })
}
