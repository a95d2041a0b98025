/** The user's settings in the browser's local storage. Each is empty where storage is forbidden. */

export type Setting = 'language' | 'microphone' | 'name' | 'originals' | 'spoken' | 'text-size'

const PREFIX = 'cloudscribe.'

/** Returns a setting; an empty text where none is stored. */
export function readSetting(name: Setting): string {
  try {
    return localStorage.getItem(PREFIX + name) ?? ''
  } catch {
    return ''
  }
}

export function writeSetting(name: Setting, value: string): void {
  try {
    localStorage.setItem(PREFIX + name, value)
  } catch {
    // A private window or a full disk: the setting holds for this visit only.
  }
}
