/** Returns the day of a timestamp as people write it; the month as a word, so nobody mistakes it. */
export function formatDay(timestamp: string): string {
  return new Date(timestamp).toLocaleDateString(undefined, { dateStyle: 'medium' })
}
