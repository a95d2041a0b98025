// Rendered from transcripts/protocol.py by `npm run protocol`. Edit that module, not this one.

export type Definition =
  | Ack
  | AudioFormat
  | ClientMessage
  | Closed
  | ConnectParameters
  | Error
  | ErrorCode
  | Final
  | Heartbeat
  | Partial
  | Ready
  | ServerMessage
  | Snapshot
  | Start
  | Stop
  | TranscribeParameters
  | Translation
  | TranslationStatus
  | Utterance
  | Word
/**
 * What a speaker sends as a text frame.
 */
export type ClientMessage = Start | Stop
/**
 * Why a stream or a viewer was refused or ended.
 */
export type ErrorCode =
  | 'invalid_parameter'
  | 'unsupported_language'
  | 'invalid_option'
  | 'invalid_audio'
  | 'frame_too_large'
  | 'invalid_message'
  | 'unexpected_message'
  | 'idle_timeout'
  | 'slow_consumer'
  | 'at_capacity'
  | 'too_many_viewers'
  | 'rate_limited'
  | 'draining'
  | 'engine_failed'
  | 'engine_refused'
  | 'internal'
/**
 * What a server sends, one per text frame.
 */
export type ServerMessage =
  | Ready
  | Partial
  | Final
  | Ack
  | Error
  | Closed
  | Snapshot
  | Heartbeat
  | Translation
  | TranslationStatus

/**
 * About once a second while audio comes, and at the end: how far the server is.
 *
 * All are seconds of audio since the start of the stream.
 */
export interface Ack {
  type: 'ack'
  /**
   * audio taken from the socket
   */
  received: number
  /**
   * audio the engine has consumed
   */
  processed: number
  /**
   * `received - processed`; near the limit the server stops reading
   */
  lag: number
}
/**
 * The PCM that follows; overrides the query's `sampleRate` and `channels`.
 */
export interface AudioFormat {
  encoding?: 'pcm_s16le'
  sampleRate: number
  channels?: number
}
/**
 * Optional, once, before the first audio.
 */
export interface Start {
  type: 'start'
  format?: AudioFormat | null
  /**
   * `false` keeps partials from this socket; viewers still get them
   */
  interimResults?: boolean
  traceparent?: string | null
}
/**
 * No more audio: the last finals, then `closed`, then a normal close.
 */
export interface Stop {
  type: 'stop'
}
/**
 * All results of the stream were sent.
 */
export interface Closed {
  type: 'closed'
  reason: 'stopped' | 'max_duration' | 'draining'
  /**
   * audio that was received
   */
  duration: number
  /**
   * utterances that became final
   */
  finals: number
}
/**
 * Query of `WS /api/stt/connect`.
 */
export interface ConnectParameters {
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  /**
   * `snapshot`: the last two minutes again every ten seconds, nothing else
   */
  mode?: 'live' | 'snapshot'
  /**
   * the language to translate into: `translation` messages come besides; refused with `mode=snapshot` (`invalid_parameter`)
   */
  language?: string | null
}
/**
 * The reason for the close that follows.
 */
export interface Error {
  type: 'error'
  code: ErrorCode
  /**
   * for people: what was wrong and what to do
   */
  message: string
  retryable: boolean
  /**
   * come back after so many seconds
   */
  retryAfter?: number
}
/**
 * Ends its utterance and is never rewritten: it is queued and will be stored once.
 */
export interface Final {
  type: 'final'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  utteranceId: string
  /**
   * a display name of 1 to 64 printable characters
   */
  speaker: string
  /**
   * who of several people at one microphone, as the engine tells them apart
   */
  speakerLabel?: string
  /**
   * which of two channels that are recognised separately
   */
  channel?: number
  /**
   * a BCP 47 tag such as `en-US`
   */
  language: string
  startTime: number
  endTime: number
  text: string
  words: Word[]
  /**
   * grows by one per conversation and server
   */
  seq: number
  /**
   * wall-clock begin of the utterance
   */
  timestamp: string
}
/**
 * One word with its place on the timeline.
 */
export interface Word {
  word: string
  startTime: number
  endTime: number
  confidence: number
}
/**
 * The viewer's connection is alive; sent every ten seconds.
 */
export interface Heartbeat {
  type: 'heartbeat'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  /**
   * of the newest message
   */
  seq: number
}
/**
 * An unstable guess; the next message of the same `utteranceId` replaces it.
 *
 * An empty `text` takes the guess back: there will be no final.
 */
export interface Partial {
  type: 'partial'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  utteranceId: string
  /**
   * a display name of 1 to 64 printable characters
   */
  speaker: string
  /**
   * who of several people at one microphone, as the engine tells them apart
   */
  speakerLabel?: string
  /**
   * which of two channels that are recognised separately
   */
  channel?: number
  /**
   * a BCP 47 tag such as `en-US`
   */
  language: string
  startTime: number
  endTime: number
  text: string
  words: Word[]
  /**
   * grows by one per conversation and server
   */
  seq: number
  /**
   * so many, from the first, will not change; if the engine tells
   */
  stableWords?: number
}
/**
 * The stream is admitted; audio is welcome. Never sent to viewers.
 */
export interface Ready {
  type: 'ready'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  streamId: string
  engine: string
  /**
   * a BCP 47 tag such as `en-US`
   */
  language: string
  sampleRate: number
  channels: number
  /**
   * the stream is ended after so much audio
   */
  maxSeconds?: number
}
/**
 * The finals of the last two minutes, oldest first, but not more than the newest 200.
 *
 * Messages that come after it have a larger `seq`.
 */
export interface Snapshot {
  type: 'snapshot'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  utterances: Utterance[]
  /**
   * `false`: the table did not answer, this is what the server knows
   */
  complete: boolean
  /**
   * of the newest message that it covers
   */
  seq: number
}
/**
 * A finished utterance: what a `final` promises, and what is stored.
 *
 * `timestamp` is the wall-clock moment at which the utterance began; together with
 * `utterance_id` it makes the key, so storing an utterance twice is the same as once.
 */
export interface Utterance {
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  utteranceId: string
  timestamp: string
  /**
   * a display name of 1 to 64 printable characters
   */
  speaker: string
  /**
   * who of several people at one microphone, as the engine tells them apart
   */
  speakerLabel?: string
  /**
   * which of two channels that are recognised separately
   */
  channel?: number
  /**
   * a BCP 47 tag such as `en-US`
   */
  language: string
  startTime: number
  endTime: number
  text: string
  /**
   * @maxItems 1500
   */
  words: Word[]
}
/**
 * A partial or a final in the viewer's language; may come late, or never.
 *
 * The next one of the same `utteranceId` replaces it, unless it `isFinal`. A guess that was taken
 * back takes its translations with it.
 */
export interface Translation {
  type: 'translation'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  utteranceId: string
  /**
   * a BCP 47 tag such as `en-US`
   */
  sourceLanguage: string
  /**
   * what it was translated into
   */
  language: string
  text: string
  /**
   * whether it is a final's, which nothing replaces
   */
  isFinal: boolean
  /**
   * of the message that it translates, or of the snapshot
   */
  seq: number
}
/**
 * Whether translations into the viewer's language come; sent when that changes.
 */
export interface TranslationStatus {
  type: 'translation_status'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  /**
   * what is translated into
   */
  language: string
  /**
   * `failing`: some will be missing; the originals are not affected
   */
  state: 'ok' | 'failing'
}
/**
 * Query of `WS /api/stt/transcribe`.
 */
export interface TranscribeParameters {
  /**
   * samples per second and channel, Hz
   */
  sampleRate: number
  /**
   * interleaved channels
   */
  channels?: number
  /**
   * `separate` recognises two channels by themselves, a speaker on each
   */
  channelMode?: 'mixed' | 'separate'
  /**
   * made up by the server when absent
   */
  conversationId?: string | null
  /**
   * a display name of 1 to 64 printable characters
   */
  speaker?: string
  /**
   * a BCP 47 tag such as `en-US`
   */
  language?: string
  /**
   * what else the engine should do, by its own names: a JSON object
   */
  options?: string
}
