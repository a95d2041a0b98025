import type { Problem } from '../shared/problem.ts'
import type { TabStorage } from '../shared/tabStorage.ts'
import { type IssuerClient, type Tokens, Unreachable } from './issuer.ts'
import { type Clock, type Lifetime, secondsLeft, startLifetime } from './lifetime.ts'
import { toReturnPath } from './returnPath.ts'
import { decideArrival, describeFailure, parsePending } from './signIn.ts'

/** How often the page looks whether it has to renew, in milliseconds; sleep and clocks may jump. */
const LOOK = 15_000
/** Renewed so long before the end, in seconds; short tokens at four fifths. */
const MARGIN = 120
/** An access token that ends sooner is not sent any more, in seconds. */
const LAST = 5
/** How long another tab's new tokens may take to arrive, in milliseconds. */
const HANDOVER = 100
/** How long a sign-out waits for the issuer to revoke the refresh token, in milliseconds. */
const FAREWELL = 3_000

const REFRESH = 'refresh'
const PENDING = 'sign-in'
const LOCK = 'cloudscribe.renewal'

export type Renewal = 'renewed' | 'ended' | 'unreachable'

/** What tabs tell each other. Tabs that were duplicated have the same refresh token. */
type News = { replaces: string; tokens: Tokens } | 'signed_out'

/** The browser keeps nothing for the page. */
export class StorageForbidden extends Error {}

interface Browser {
  storage: TabStorage
  clock: Clock
  /** Runs one task at a time, over all tabs. */
  lock: (name: string, task: () => Promise<Renewal>) => Promise<Renewal>
  /** Talks to the other tabs. */
  channel: Pick<BroadcastChannel, 'postMessage' | 'onmessage'> | undefined
  /** Removes what later visits would show of the person. */
  forgetPerson: () => void
  /** Sends the browser to another address. */
  leave: (url: string) => void
  origin: string
}

interface Events {
  onSignedIn: () => void
  onSignedOut: (problem?: Problem) => void
  onEnded: () => void
  onProblem: (problem: Problem) => void
}

/**
 * One person's sign-in in one tab. The access token is in memory alone, the refresh token in the
 * tab's storage.
 *
 * An issuer that rotates refresh tokens takes each one once, so one renewal runs at a time, and its
 * tokens go to all tabs with the same refresh token.
 */
export class Session {
  readonly #issuer: IssuerClient
  readonly #browser: Browser
  readonly #events: Events
  #token: { access: string; lifetime: Lifetime } | undefined
  #renewing: Promise<Renewal> | undefined
  #timer: ReturnType<typeof setInterval> | undefined

  constructor(issuer: IssuerClient, browser: Browser, events: Events) {
    this.#issuer = issuer
    this.#browser = browser
    this.#events = events
    if (browser.channel !== undefined) {
      browser.channel.onmessage = ({ data }: MessageEvent<News>) => {
        this.#hearNews(data)
      }
    }
  }

  /**
   * Completes a sign-in, or restores the tab's earlier one. Returns the address to go on at, if the
   * sign-in began elsewhere on this page.
   */
  async arrive(answer: URLSearchParams | undefined): Promise<string | undefined> {
    const { storage, origin } = this.#browser
    const arrival = decideArrival(answer, parsePending(storage.read(PENDING)))
    if (answer !== undefined) storage.remove(PENDING) // an answer counts once
    if (arrival.next === 'restore') {
      await this.#restore(arrival.problem)
      return undefined
    }
    const { pending } = arrival
    try {
      this.#adopt(await this.#issuer.exchange(arrival.answer, pending))
      this.#events.onSignedIn()
    } catch (error) {
      this.#events.onSignedOut(describeFailure(error instanceof Unreachable))
    }
    return toReturnPath(pending.returnTo, origin)
  }

  /**
   * Sends the browser to the sign-in. Throws StorageForbidden where the answer could not be told
   * from a forged one, because the browser keeps nothing for the page.
   */
  async begin(returnTo: string): Promise<void> {
    const { storage, origin, leave } = this.#browser
    const { pending, url } = await this.#issuer.prepare(toReturnPath(returnTo, origin))
    if (!storage.write(PENDING, JSON.stringify(pending))) throw new StorageForbidden()
    leave(url)
  }

  /** Returns an access token that can be used now; otherwise why there is none. */
  async bearer(): Promise<{ token: string } | { none: 'ended' | 'unreachable' }> {
    const held = this.#token
    if (held !== undefined && secondsLeft(held.lifetime, this.#browser.clock) > LAST) {
      return { token: held.access }
    }
    const renewal = await this.renew()
    if (renewal === 'renewed' && this.#token !== undefined) return { token: this.#token.access }
    return { none: renewal === 'unreachable' ? renewal : 'ended' }
  }

  /** Gets new tokens; calls at the same time get the same ones. */
  renew(): Promise<Renewal> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  /** Signs out here, in the other tabs, and at the issuer. */
  async signOut(): Promise<void> {
    const { channel, leave, origin } = this.#browser
    channel?.postMessage('signed_out' satisfies News)
    // The next person at this computer must not wait for an issuer that does not answer.
    await Promise.race([this.#leaveNothing(), pause(FAREWELL)])
    leave(this.#issuer.logoutUrl() ?? `${origin}/`)
  }

  /** Forgets everything of the person in this tab, and ends the refresh token at the issuer. */
  async #leaveNothing(): Promise<void> {
    const { storage, forgetPerson } = this.#browser
    const refresh = storage.read(REFRESH)
    this.#forget()
    storage.clear() // share links, too: the next person in this tab is somebody else
    forgetPerson()
    this.#events.onSignedOut() // the browser's Back may show this page again
    if (refresh !== undefined) await this.#revoke(refresh)
  }

  async #revoke(token: string): Promise<void> {
    // Whether or not that works: the token is forgotten here.
    await this.#issuer.revoke(token).catch(() => undefined)
  }

  async #restore(problem: Problem | undefined): Promise<void> {
    if (problem !== undefined) this.#events.onProblem(problem)
    if (this.#browser.storage.read(REFRESH) === undefined) {
      this.#events.onSignedOut(problem)
      return
    }
    const renewal = await this.renew()
    if (renewal === 'ended') return // `onEnded` was called, or somebody signed out meanwhile
    this.#watch()
    // Without an answer the page opens, and says of each call that the server does not answer.
    this.#events.onSignedIn()
  }

  async #renew(): Promise<Renewal> {
    const { storage, clock, lock } = this.#browser
    const before = storage.read(REFRESH)
    if (before === undefined) return this.#end()
    const asked = clock.steady()
    return lock(LOCK, async () => {
      // Another tab had the lock, and may have used this very token.
      if (clock.steady() - asked > 10) await pause(HANDOVER)
      if (this.#wasReplaced(before)) return 'renewed'
      if (storage.read(REFRESH) === undefined) return 'ended'
      try {
        const tokens = await this.#issuer.refresh(before)
        if (storage.read(REFRESH) === undefined) {
          // Somebody signed out while the answer was on its way: it must not undo that.
          await this.#revoke(tokens.refresh ?? before)
          return 'ended'
        }
        if (this.#holds(before)) this.#adopt(tokens, before)
        return 'renewed'
      } catch (error) {
        if (storage.read(REFRESH) === undefined) return 'ended'
        if (error instanceof Unreachable) return 'unreachable'
        await pause(HANDOVER)
        return this.#wasReplaced(before) ? 'renewed' : this.#end()
      }
    })
  }

  #holds(token: string): boolean {
    return this.#browser.storage.read(REFRESH) === token
  }

  #wasReplaced(before: string): boolean {
    const now = this.#browser.storage.read(REFRESH)
    return now !== undefined && now !== before && this.#token !== undefined
  }

  /** @param replaces the refresh token that these tokens were got with */
  #adopt(tokens: Tokens, replaces?: string): void {
    const { storage, clock, channel } = this.#browser
    this.#token = { access: tokens.access, lifetime: startLifetime(tokens.seconds, clock) }
    // Without rotation the answer has no new one.
    if (tokens.refresh !== undefined) storage.write(REFRESH, tokens.refresh)
    if (replaces !== undefined && tokens.refresh !== undefined) {
      channel?.postMessage({ replaces, tokens } satisfies News)
    }
    this.#watch()
  }

  #hearNews(news: News): void {
    if (news === 'signed_out') {
      // A tab of guests alone goes on; one with a sign-in of its own ends that, too.
      if (this.#browser.storage.read(REFRESH) !== undefined) void this.#leaveNothing()
    } else if (this.#holds(news.replaces)) {
      this.#adopt(news.tokens)
    }
  }

  #watch(): void {
    this.#timer ??= setInterval(() => {
      this.renewIfDue()
    }, LOOK)
  }

  /** Renews where the access token is about to end; also called when the page is shown again. */
  renewIfDue(): void {
    const { clock, storage } = this.#browser
    if (storage.read(REFRESH) === undefined) return
    const lifetime = this.#token?.lifetime
    const margin = Math.min(MARGIN, (lifetime?.seconds ?? 0) / 5)
    if (lifetime === undefined || secondsLeft(lifetime, clock) < margin) void this.renew()
  }

  #end(): Renewal {
    this.#forget()
    this.#events.onEnded()
    return 'ended'
  }

  #forget(): void {
    this.#token = undefined
    this.#browser.storage.remove(REFRESH)
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

/** Runs a task under a lock of all tabs; without Web Locks, in this tab alone. */
export async function lockAcrossTabs(name: string, task: () => Promise<Renewal>): Promise<Renewal> {
  // Browsers have locks in secure contexts alone.
  const locks = (navigator as { locks?: LockManager }).locks
  if (locks === undefined) return task()
  const progress = { hasBegun: false }
  try {
    return await locks.request(name, () => {
      progress.hasBegun = true
      return task()
    })
  } catch (error) {
    if (progress.hasBegun) throw error
    return task() // a browser that keeps nothing for the page has no locks either
  }
}

/** Opens the channel of all tabs; undefined where the browser forbids it. */
export function openChannel(name: string): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel(name)
  } catch {
    return undefined
  }
}
