import { useId } from 'react'

import { settings } from '../shared/settings.ts'
import { useAppDispatch, useAppSelector } from '../app/store.ts'
import { microphonesSlice } from './microphonesSlice.ts'

interface Props {
  className: string | undefined
  disabled: boolean
  onChoose: (microphone: string) => void
}

/** The choice of a microphone. Browsers tell their names only after one was allowed. */
export function MicrophoneSelect({ className, disabled, onChoose }: Props) {
  const { devices, chosen } = useAppSelector((state) => state.microphones)
  const dispatch = useAppDispatch()
  const id = useId()
  return (
    <div className={className}>
      <label htmlFor={id}>Microphone</label>
      <select
        id={id}
        value={devices.some((device) => device.id === chosen) ? chosen : ''}
        disabled={disabled}
        onChange={({ target }) => {
          dispatch(microphonesSlice.actions.chosen(target.value))
          settings.write('microphone', target.value)
          onChoose(target.value)
        }}
      >
        <option value="">Default microphone</option>
        {devices.map(({ id: deviceId, label }, index) => (
          <option key={deviceId} value={deviceId}>
            {label === '' ? `Microphone ${index + 1}` : label}
          </option>
        ))}
      </select>
    </div>
  )
}
