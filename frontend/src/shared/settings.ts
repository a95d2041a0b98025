/** What the browser remembers for this user. Storage may be forbidden; then nothing is. */

type Setting = 'language' | 'microphone' | 'name' | 'originals' | 'spoken' | 'text-size'

const PREFIX = 'cloudscribe.'

export const settings = {
  read(name: Setting): string {
    try {
      return localStorage.getItem(PREFIX + name) ?? ''
    } catch {
      return ''
    }
  },

  write(name: Setting, value: string): void {
    try {
      localStorage.setItem(PREFIX + name, value)
    } catch {
      // Private windows and full disks: it holds for this visit only.
    }
  },
}
