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
    ...(language === undefined ? {} : { language }),
  }
  return buildUrl(origin, '/api/stt/connect', parameters)
}

function buildUrl(origin: string, path: string, parameters: object): string {
  const url = new URL(path, origin.replace(/^http/, 'ws'))
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, String(value))
  return url.href
}
