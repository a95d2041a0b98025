import { expect, it } from 'vitest'

import { buildSpeakerUrl, buildViewerUrl } from './endpoints.ts'

it('uses the origin of the page and escapes what users type', () => {
  expect(buildSpeakerUrl('https://a.example', 'c:1', 'Ada & Co')).toBe(
    'wss://a.example/api/stt/transcribe?sampleRate=16000&conversationId=c%3A1&speaker=Ada+%26+Co',
  )
  expect(buildViewerUrl('http://127.0.0.1:8080', 'c')).toBe(
    'ws://127.0.0.1:8080/api/stt/connect?conversationId=c',
  )
  expect(buildViewerUrl('http://127.0.0.1:8080', 'c', 'pt-PT')).toBe(
    'ws://127.0.0.1:8080/api/stt/connect?conversationId=c&language=pt-PT',
  )
})

it('requests the spoken language', () => {
  expect(buildSpeakerUrl('https://a.example', 'c', 'Ada', 'de-CH')).toContain('&language=de-CH')
})

it('omits the name and the language where there is none', () => {
  expect(buildSpeakerUrl('https://a.example', 'c', '')).not.toMatch(/speaker|language/)
})
