/**
 * Where the chosen language outlives the page: in the page's address and in the browser's settings.
 *
 * The address wins, so that a shared link opens in its language. While the page is open, the
 * store's `language.chosen` holds it.
 */

import { readParameter, withParameter } from '../shared/address.ts'
import { readSetting, writeSetting } from '../shared/settings.ts'

const PARAMETER = 'language'

/** Returns the language to begin with, as it was written; an empty text means the originals. */
export function restoreLanguage(address: string): string {
  return languageIn(address) ?? readSetting('language')
}

export function rememberLanguage(language: string | undefined): void {
  writeSetting('language', language ?? '')
}

/** Makes the next visit begin with the originals if it would begin with `language`. */
export function forgetLanguage(language: string): void {
  if (readSetting('language') === language) rememberLanguage(undefined)
}

/** Returns the language in an address, as it was written. */
export function languageIn(address: string): string | undefined {
  return readParameter(address, PARAMETER)
}

/** Returns the same address with another language, or with none. */
export function withLanguage(address: string, language: string | undefined): string {
  return withParameter(address, PARAMETER, language)
}
