import { Reconnect } from '../live/reconnect.ts'

/** The body of `GET /api/stt/languages`. */
export interface Offer {
  /** BCP 47 tags of the languages to recognise; empty where the engine takes any. */
  recognition: string[]
  /** What users should know of the engine's results; older servers send none. */
  note?: string
  /** BCP 47 tags of the target languages; empty where there is no translator. */
  translation: string[]
  /** The name of the translator; `pseudo` only marks the text. */
  translator: string | null
}

/** Asks until the server answers. A 404 is final: an older server has no such endpoint. */
export function fetchOffer(origin: string, answer: (offer: Offer) => void): void {
  const retry = new Reconnect(() => void ask())
  const ask = async () => {
    try {
      const response = await fetch(new URL('/api/stt/languages', origin))
      if (response.ok) answer((await response.json()) as Offer)
      else if (response.status !== 404) retry.schedule()
    } catch {
      retry.schedule()
    }
  }
  void ask()
}
