import { Reconnect } from '../live/reconnect.ts'

/** What `GET /api/stt/languages` answers. */
export interface Offer {
  /** BCP 47 tags; none stands for any. */
  recognition: string[]
  /** BCP 47 tags; none where there is no translator. */
  translation: string[]
  /** `pseudo` only marks the text. */
  translator: string | null
}

/** Asks until the server answers. A 404 is final: an older server has no such endpoint. */
export function fetchOffer(origin: string, answer: (offer: Offer) => void): void {
  const again = new Reconnect(() => void ask())
  const ask = async () => {
    try {
      const response = await fetch(new URL('/api/stt/languages', origin))
      if (response.ok) answer((await response.json()) as Offer)
      else if (response.status !== 404) again.later()
    } catch {
      again.later()
    }
  }
  void ask()
}
