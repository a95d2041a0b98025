/**
 * What a tab keeps across reloads and nobody else sees: `sessionStorage`, or memory where that is
 * forbidden.
 */
export interface TabStorage {
  read: (name: string) => string | undefined
  write: (name: string, value: string) => void
  remove: (name: string) => void
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
      attempt((storage) => {
        storage.setItem(PREFIX + name, value)
      })
    },
    remove: (name) => {
      memory.delete(name)
      attempt((storage) => {
        storage.removeItem(PREFIX + name)
      })
    },
  }
}
