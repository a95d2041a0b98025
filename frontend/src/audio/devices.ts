/** The microphones that the browser tells of. */

export interface Device {
  id: string
  /** Empty until the user has allowed a microphone once. */
  label: string
}

/** Lists the microphones; without permission browsers give one nameless entry, or none. */
export async function listMicrophones(): Promise<Device[]> {
  if (!('mediaDevices' in navigator)) return []
  const devices = await navigator.mediaDevices.enumerateDevices()
  return (
    devices
      // "default" repeats another entry; the empty choice stands for it already.
      .filter(({ kind, deviceId }) => kind === 'audioinput' && !['', 'default'].includes(deviceId))
      .map(({ deviceId, label }) => ({ id: deviceId, label }))
  )
}

/** Calls `listener` whenever a device comes or goes. */
export function onDeviceChange(listener: () => void): void {
  if ('mediaDevices' in navigator) {
    navigator.mediaDevices.addEventListener('devicechange', listener)
  }
}
