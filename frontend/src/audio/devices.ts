/** The microphones that the browser lists. */

export interface Device {
  id: string
  /** Empty until the user has allowed a microphone once. */
  label: string
}

/** Lists the microphones. Without permission browsers return one entry without a name, or none. */
export async function listMicrophones(): Promise<Device[]> {
  if (!('mediaDevices' in navigator)) return []
  const devices = await navigator.mediaDevices.enumerateDevices()
  return (
    devices
      // "default" repeats another entry, and the page has a choice of its own for it.
      .filter(({ kind, deviceId }) => kind === 'audioinput' && !['', 'default'].includes(deviceId))
      .map(({ deviceId, label }) => ({ id: deviceId, label }))
  )
}

/** Calls `onChange` whenever a device is connected or disconnected. */
export function onDeviceChange(onChange: () => void): void {
  if ('mediaDevices' in navigator) {
    navigator.mediaDevices.addEventListener('devicechange', onChange)
  }
}
