import type { SpeakerIdentity } from './conversationSlice.ts'

const SIDES = ['left', 'right']

/** Formats what distinguishes speakers of one name: `speaker 1`, `left`; or an empty text. */
export function formatSpeakerDetail({
  speakerLabel,
  channel,
}: Omit<SpeakerIdentity, 'speaker'>): string {
  const side = channel === undefined ? undefined : SIDES[channel]
  return [side, formatSpeakerLabel(speakerLabel)].filter((part) => part !== undefined).join(' · ')
}

/** Renders `spk_0`, the engines' first label, as `speaker 1`; other labels stay. */
function formatSpeakerLabel(label: string | undefined): string | undefined {
  const number = /^spk_(\d{1,3})$/.exec(label ?? '')?.[1]
  return number === undefined ? label : `speaker ${Number(number) + 1}`
}

/** Chooses one of six colours, the same for one person on every page. */
export function chooseColour({ speaker, speakerLabel = '', channel }: SpeakerIdentity): number {
  let hash = 0
  for (const char of `${speaker}${speakerLabel}${channel ?? ''}`) {
    hash = (31 * hash + (char.codePointAt(0) ?? 0)) >>> 0
  }
  return hash % 6
}
