import { useId } from 'react'
import { useDispatch, useSelector } from 'react-redux'

import { writeSetting } from '../shared/settings.ts'
import { microphonesSlice, selectMicrophones } from './microphonesSlice.ts'

interface Props {
  className: string | undefined
  disabled: boolean
  onChoose: (microphone: string) => void
}

/** The choice of a microphone. Browsers show their names once the user has allowed one. */
export function MicrophoneSelect({ className, disabled, onChoose }: Props) {
  const { devices, chosen } = useSelector(selectMicrophones)
  const dispatch = useDispatch()
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
          writeSetting('microphone', target.value)
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
