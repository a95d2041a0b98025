/**
 * What a tab keeps across reloads and nobody else sees: `sessionStorage`, or memory where that is
 * forbidden.
 */
export interface TabStorage {
  read: (name: string) => string | undefined
  /** Returns whether the value outlives the page: browsers can forbid that. */
  write: (name: string, value: string) => boolean
  remove: (name: string) => void
  /** Removes everything. */
  clear: () => void
}

const PREFIX = 'cloudscribe.'

export function openTabStorage(): TabStorage {
  const memory = new Map<string, string>()
  const attempt = <T>(access: (storage: Storage) => T): T | undefined => {
    try {
      return access(sessionStorage)
    } catch {
      return undefined // forbidden, or full
    }
  }
  return {
    read: (name) => attempt((storage) => storage.getItem(PREFIX + name)) ?? memory.get(name),
    write: (name, value) => {
      memory.set(name, value)
      return (
        attempt((storage) => {
          storage.setItem(PREFIX + name, value)
          return true
        }) === true
      )
    },
    remove: (name) => {
      memory.delete(name)
      attempt((storage) => {
        storage.removeItem(PREFIX + name)
      })
    },
    clear: () => {
      memory.clear()
      attempt((storage) => {
        storage.clear() // the origin is the page's alone
      })
    },
  }
}
