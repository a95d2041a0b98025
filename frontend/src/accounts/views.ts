/** The pages of a person beside the conversations themselves. */

export type View = 'conversations' | 'account' | 'people'

const VIEWS: Partial<Record<string, View>> = { '#/account': 'account', '#/people': 'people' }

/** Returns the page that the fragment of an address leads to; by default the conversations. */
export function readView(hash: string): View {
  return VIEWS[hash] ?? 'conversations'
}
