import type { Speaking } from './conversationSlice.ts'

const SIDES = ['left', 'right']

/** What tells apart who shares a name: `speaker 1`, `left`; an empty text for nobody. */
export function detailOf({ speakerLabel, channel }: Omit<Speaking, 'speaker'>): string {
  const side = channel === undefined ? undefined : SIDES[channel]
  return [side, labelOf(speakerLabel)].filter((part) => part !== undefined).join(' · ')
}

/** Engines count from `spk_0`, people from one. */
function labelOf(label: string | undefined): string | undefined {
  const number = /^spk_(\d{1,3})$/.exec(label ?? '')?.[1]
  return number === undefined ? label : `speaker ${Number(number) + 1}`
}

/** The same person has the same colour on every page: one of six. */
export function colourOf({ speaker, speakerLabel = '', channel }: Speaking): number {
  let hash = 0
  for (const char of `${speaker}${speakerLabel}${channel ?? ''}`) {
    hash = (31 * hash + (char.codePointAt(0) ?? 0)) >>> 0
  }
  return hash % 6
}
