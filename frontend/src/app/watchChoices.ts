import type { Dispatch } from '@reduxjs/toolkit'

import { languagesOffered } from '../language/languageSlice.ts'
import { fetchOffer } from '../language/offer.ts'
import { readSetting } from '../shared/settings.ts'
import { spokenLanguageSlice } from '../speaking/spokenLanguageSlice.ts'
import { watchMicrophones } from '../speaking/watchMicrophones.ts'

/** Finds out what there is to choose: microphones, and the server's languages. */
export function watchChoices(origin: string, dispatch: Dispatch): void {
  watchMicrophones(dispatch)
  fetchOffer(origin, (offer) => {
    dispatch(languagesOffered(offer))
    dispatch(
      spokenLanguageSlice.actions.offered({
        tags: offer.recognition,
        remembered: readSetting('spoken'),
        browser: navigator.language,
        note: offer.note,
      }),
    )
  })
}
