import { expect, it } from 'vitest'

import { chooseColour, formatSpeakerDetail } from './speakerIdentity.ts'

it.each([
  [{}, ''],
  [{ speakerLabel: 'spk_0' }, 'speaker 1'],
  [{ speakerLabel: 'Guest-2' }, 'Guest-2'],
  [{ channel: 0 }, 'left'],
  [{ channel: 1, speakerLabel: 'spk_1' }, 'right · speaker 2'],
])('%j is %j', (who, detail) => {
  expect(formatSpeakerDetail(who)).toBe(detail)
})

it('gives two people at one microphone two colours', () => {
  const [one, two] = ['spk_0', 'spk_1'].map((speakerLabel) =>
    chooseColour({ speaker: 'Ada', speakerLabel }),
  )
  expect(one).not.toBe(two)
})
