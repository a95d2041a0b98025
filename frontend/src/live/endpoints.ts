/** The URLs of the two WebSocket endpoints, on the origin that served the page. */

import { SAMPLE_RATE } from '../audio/pcm.ts'
import type { ConnectParameters, TranscribeParameters } from '../protocol.ts'

/** @param language what to recognise; undefined for the server's default */
export function buildSpeakerUrl(
  origin: string,
  conversationId: string,
  speaker: string,
  language?: string,
): string {
  const parameters: TranscribeParameters = {
    sampleRate: SAMPLE_RATE,
    resume: true,
    conversationId,
    ...(speaker === '' ? {} : { speaker }),
    ...(language === undefined ? {} : { language }),
  }
  return buildUrl(origin, '/api/stt/transcribe', parameters)
}

/** @param language what to translate into; undefined for the originals alone */
export function buildViewerUrl(origin: string, conversationId: string, language?: string): string {
  const parameters: ConnectParameters = {
    conversationId,
    heartbeat: true,
    ...(language === undefined ? {} : { language }),
  }
  return buildUrl(origin, '/api/stt/connect', parameters)
}

/** Returns the URL of a connection that resumes a speaker's stream. */
export function toResumeUrl(url: string, attempt: number): string {
  return withParameters(url, { attempt } satisfies Partial<TranscribeParameters>)
}

/** Returns the URL of a viewer's connection that goes on from a position. */
export function toContinuedUrl(url: string, since: string): string {
  return withParameters(url, { since } satisfies Partial<ConnectParameters>)
}

function buildUrl(origin: string, path: string, parameters: object): string {
  return withParameters(new URL(path, origin.replace(/^http/, 'ws')).href, parameters)
}

function withParameters(address: string, parameters: object): string {
  const url = new URL(address)
  for (const [name, value] of Object.entries(parameters)) {
    url.searchParams.set(name, value === true ? '1' : String(value))
  }
  return url.href
}
