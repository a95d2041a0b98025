import { expect, it } from 'vitest'

import { buildSpeakerUrl, buildViewerUrl, toContinuedUrl, toResumeUrl } from './endpoints.ts'

it('uses the origin of the page and escapes what users type', () => {
  expect(buildSpeakerUrl('https://a.example', 'c:1', 'Ada & Co')).toBe(
    'wss://a.example/api/stt/transcribe?sampleRate=16000&resume=1&conversationId=c%3A1&speaker=Ada+%26+Co',
  )
  expect(buildViewerUrl('http://127.0.0.1:8080', 'c')).toBe(
    'ws://127.0.0.1:8080/api/stt/connect?conversationId=c&heartbeat=1',
  )
  expect(buildViewerUrl('http://127.0.0.1:8080', 'c', 'pt-PT')).toBe(
    'ws://127.0.0.1:8080/api/stt/connect?conversationId=c&heartbeat=1&language=pt-PT',
  )
})

it('requests the spoken language', () => {
  expect(buildSpeakerUrl('https://a.example', 'c', 'Ada', 'de-CH')).toContain('&language=de-CH')
})

it('omits the name and the language where there is none', () => {
  expect(buildSpeakerUrl('https://a.example', 'c', '')).not.toMatch(/speaker|language/)
})

it('goes on from where a connection was', () => {
  expect(toResumeUrl('wss://a.example/x?resume=1', 3)).toBe('wss://a.example/x?resume=1&attempt=3')
  expect(toContinuedUrl('wss://a.example/x?a=1', '1 &')).toBe('wss://a.example/x?a=1&since=1+%26')
})
