/** The OpenID Connect issuer: the only module that knows its protocol, by oauth4webapi. */

import * as oauth from 'oauth4webapi'

import type { AccountAccess } from '../api.ts'
import type { Pending } from './signIn.ts'

/** How long the issuer may take, in milliseconds. */
const TIMEOUT = 15_000
/** Validity of an access token whose answer does not say it, in seconds. */
const SHORT = 300
/** Clocks may differ by so much, in seconds. */
const TOLERANCE = 60

export interface Tokens {
  access: string
  refresh: string | undefined
  /** Validity of the access token from now on. */
  seconds: number
}

/** The issuer did not answer, or cannot at the moment. */
export class Unreachable extends Error {}
/** The issuer refused, or its answer is not valid. */
export class Refused extends Error {}

export class IssuerClient {
  readonly #access: AccountAccess
  readonly #server: oauth.AuthorizationServer
  readonly #client: oauth.Client
  readonly #redirect: string

  /**
   * @param redirect where the issuer sends the browser back to
   * @param clockSkew how far the browser's clock is behind, in seconds
   */
  constructor(access: AccountAccess, redirect: string, clockSkew: number) {
    this.#access = access
    this.#redirect = redirect
    this.#server = {
      issuer: access.issuer,
      authorization_endpoint: access.authorizationEndpoint,
      token_endpoint: access.tokenEndpoint,
      ...(access.revocationEndpoint ? { revocation_endpoint: access.revocationEndpoint } : {}),
      // The token endpoint's TLS vouches for the ID token; the API verifies access tokens.
      id_token_signing_alg_values_supported: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
    }
    this.#client = {
      client_id: access.pageClientId,
      [oauth.clockSkew]: clockSkew,
      [oauth.clockTolerance]: TOLERANCE,
    }
  }

  /** Makes a sign-in and the address to send the browser to. */
  async prepare(returnTo: string): Promise<{ pending: Pending; url: string }> {
    const pending: Pending = {
      state: oauth.generateRandomState(),
      nonce: oauth.generateRandomNonce(),
      verifier: oauth.generateRandomCodeVerifier(),
      returnTo,
    }
    const url = new URL(this.#access.authorizationEndpoint)
    const parameters = {
      response_type: 'code',
      client_id: this.#access.pageClientId,
      redirect_uri: this.#redirect,
      scope: (this.#access.scopes ?? ['openid']).join(' '),
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
    }
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
    return { pending, url: url.href }
  }

  /** Exchanges the answer of a sign-in for tokens. Throws Refused or Unreachable. */
  exchange(answer: URLSearchParams, pending: Pending): Promise<Tokens> {
    return attempt(async () => {
      const parameters = oauth.validateAuthResponse(
        this.#server,
        this.#client,
        answer,
        pending.state,
      )
      const response = await oauth.authorizationCodeGrantRequest(
        this.#server,
        this.#client,
        oauth.None(),
        parameters,
        this.#redirect,
        pending.verifier,
        options(this.#access.tokenEndpoint),
      )
      refuseOutage(response)
      const result = await oauth.processAuthorizationCodeResponse(
        this.#server,
        this.#client,
        response,
        { expectedNonce: pending.nonce, requireIdToken: true },
      )
      return toTokens(result)
    })
  }

  /**
   * Exchanges a refresh token for new tokens. Throws Refused where the issuer says so in its
   * protocol, and Unreachable otherwise: nobody is signed out by the page of a captive portal.
   */
  async refresh(token: string): Promise<Tokens> {
    try {
      const response = await oauth.refreshTokenGrantRequest(
        this.#server,
        this.#client,
        oauth.None(),
        token,
        options(this.#access.tokenEndpoint),
      )
      refuseOutage(response)
      return toTokens(await oauth.processRefreshTokenResponse(this.#server, this.#client, response))
    } catch (error) {
      throw error instanceof oauth.ResponseBodyError ? new Refused() : new Unreachable()
    }
  }

  /** Revokes a refresh token, where the issuer can. */
  async revoke(token: string): Promise<void> {
    const endpoint = this.#access.revocationEndpoint
    if (!endpoint) return
    await oauth.revocationRequest(
      this.#server,
      this.#client,
      oauth.None(),
      token,
      options(endpoint),
    )
  }

  /** Returns the address that ends the session at the issuer; undefined where it has none. */
  logoutUrl(): string | undefined {
    if (!this.#access.logoutEndpoint) return undefined
    const url = new URL(this.#access.logoutEndpoint)
    url.searchParams.set('client_id', this.#access.pageClientId)
    // Cognito's name for it, and that of OpenID Connect.
    url.searchParams.set('logout_uri', this.#redirect)
    url.searchParams.set('post_logout_redirect_uri', this.#redirect)
    return url.href
  }
}

function options(endpoint: string) {
  return {
    signal: () => AbortSignal.timeout(TIMEOUT),
    // Plain HTTP is for the issuer of one machine.
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so against use elsewhere
    [oauth.allowInsecureRequests]: isLoopback(endpoint),
  }
}

function isLoopback(endpoint: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(new URL(endpoint).hostname)
}

function refuseOutage({ status }: Response): void {
  if (status >= 500 || status === 429) throw new Unreachable()
}

function toTokens(result: oauth.TokenEndpointResponse): Tokens {
  return {
    access: result.access_token,
    refresh: result.refresh_token,
    seconds: result.expires_in ?? SHORT,
  }
}

async function attempt<T>(exchange: () => Promise<T>): Promise<T> {
  try {
    return await exchange()
  } catch (error) {
    if (error instanceof Unreachable) throw error
    // `fetch` throws these without an answer. The library's own errors may quote one, so none of
    // them is passed on.
    const isNetwork =
      (error instanceof TypeError && !('code' in error)) ||
      (error instanceof DOMException && ['AbortError', 'TimeoutError'].includes(error.name))
    throw isNetwork ? new Unreachable() : new Refused()
  }
}
