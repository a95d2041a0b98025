/** A problem as the user reads it: what it is, and what to do about it, in whole sentences. */
export interface Problem {
  title: string
  advice: string
}
