/** Something went wrong: what it is, and what to do about it. Both are whole sentences. */
export interface Problem {
  title: string
  advice: string
}
