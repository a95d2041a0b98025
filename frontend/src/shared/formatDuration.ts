/** Formats a time as people say it: seconds, from two minutes on minutes. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min`
}
