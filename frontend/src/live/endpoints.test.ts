import { expect, it } from 'vitest'

import { speakerUrl, viewerUrl } from './endpoints.ts'

it('stays on the origin of the page and escapes what people type', () => {
  expect(speakerUrl('https://a.example', 'c:1', 'Ada & Co')).toBe(
    'wss://a.example/api/stt/transcribe?sampleRate=16000&conversationId=c%3A1&speaker=Ada+%26+Co',
  )
  expect(viewerUrl('http://127.0.0.1:8080', 'c')).toBe(
    'ws://127.0.0.1:8080/api/stt/connect?conversationId=c',
  )
  expect(viewerUrl('http://127.0.0.1:8080', 'c', 'pt-PT')).toBe(
    'ws://127.0.0.1:8080/api/stt/connect?conversationId=c&language=pt-PT',
  )
})

it('asks for the language that is spoken', () => {
  expect(speakerUrl('https://a.example', 'c', 'Ada', 'de-CH')).toContain('&language=de-CH')
})

it('leaves the name and the language to the server when there is none', () => {
  expect(speakerUrl('https://a.example', 'c', '')).not.toMatch(/speaker|language/)
})
