// Rendered from transcripts/protocol.py by `npm run protocol`. Edit that module, not this one.

export type Definition =
  | Ack
  | AudioFormat
  | ClientMessage
  | Closed
  | ConnectParameters
  | Continue
  | Error
  | ErrorCode
  | Final
  | Heartbeat
  | Partial
  | Pause
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
 * A control message of a speaker: one text frame.
 */
export type ClientMessage = Start | Continue | Pause | Stop
/**
 * Why a stream or a viewer was refused or ended.
 */
export type ErrorCode =
  | 'invalid_parameter'
  | 'ticket_used'
  | 'access_revoked'
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
  | 'access_unavailable'
  | 'draining'
  | 'moved'
  | 'resume_refused'
  | 'ledger_unavailable'
  | 'engine_failed'
  | 'engine_refused'
  | 'internal'
/**
 * A message of a server: one text frame.
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
 * How much audio the server has processed; about once a second, and at the end.
 *
 * All fields are seconds of audio since the start of the stream.
 */
export interface Ack {
  type: 'ack'
  /**
   * audio read from the socket
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
  /**
   * with `resume=1`: samples that the client need not keep any more
   */
  durable?: number
}
/**
 * The format of the binary frames; overrides the query's `sampleRate` and `channels`.
 */
export interface AudioFormat {
  encoding?: 'pcm_s16le'
  sampleRate: number
  channels?: number
}
/**
 * Settings of the stream; optional, at most once, before the first audio.
 */
export interface Start {
  type: 'start'
  format?: AudioFormat | null
  /**
   * `false`: this socket gets no partials; viewers still get them
   */
  interimResults?: boolean
  traceparent?: string | null
}
/**
 * The first message after `ready` with `resume=1`: which sample the next audio begins with.
 *
 * Samples are moments of all channels, counted from the first one of the stream.
 */
export interface Continue {
  type: 'continue'
  /**
   * `resumeFrom`, or later if the audio from there is lost
   */
  sample: number
  /**
   * how long ago that sample was recorded
   */
  age?: number
}
/**
 * Nothing was recorded for some time, as when a laptop slept; with `resume=1` only.
 */
export interface Pause {
  type: 'pause'
  /**
   * the first sample after the pause
   */
  sample: number
  /**
   * its length by the client's steady clock
   */
  seconds: number
}
/**
 * Ends the audio. The last finals follow, then `closed`, then a normal close.
 */
export interface Stop {
  type: 'stop'
}
/**
 * The stream has ended, and all its results were sent.
 */
export interface Closed {
  type: 'closed'
  reason: 'stopped' | 'max_duration' | 'draining'
  /**
   * audio received
   */
  duration: number
  /**
   * utterances that became final
   */
  finals: number
}
/**
 * Query parameters of `WS /api/stt/connect`.
 */
export interface ConnectParameters {
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  /**
   * `snapshot`: only a snapshot, every ten seconds
   */
  mode?: 'live' | 'snapshot'
  /**
   * the language to translate into; adds `translation` messages; refused with `mode=snapshot` (`invalid_parameter`)
   */
  language?: string | null
  /**
   * the last `position` received: go on from there
   */
  since?: string | null
  /**
   * `1`: a message at least every second, so that a dead line shows
   */
  heartbeat?: boolean
}
/**
 * Why the connection is closed; the close follows at once.
 */
export interface Error {
  type: 'error'
  code: ErrorCode
  /**
   * for people: what is wrong and what to do
   */
  message: string
  retryable: boolean
  /**
   * connect again after so many seconds
   */
  retryAfter?: number
}
/**
 * Ends its utterance and never changes. It is durable, and will be stored once.
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
   * label of one of several people at a microphone (diarisation)
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
   * wall-clock start of the utterance
   */
  timestamp: string
  /**
   * of the finals of one stream, without gaps: 1, 2, 3
   */
  number?: number
  /**
   * what a viewer has received with this message
   */
  position?: string
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
 * Shows that the connection is alive; sent every ten seconds, every second if asked for.
 */
export interface Heartbeat {
  type: 'heartbeat'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  /**
   * `seq` of the newest message
   */
  seq: number
  position?: string
}
/**
 * The text of an utterance so far; the next message of the same `utteranceId` replaces it.
 *
 * An empty `text` retracts the partial: there will be no final.
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
   * label of one of several people at a microphone (diarisation)
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
   * how many words, from the first, the engine expects to stay; if known
   */
  stableWords?: number
}
/**
 * The stream is admitted, and audio may be sent. Viewers do not get this message.
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
   * the server ends the stream after so much audio
   */
  maxSeconds?: number
  /**
   * with `resume=1`: resumes the stream, as the subprotocol `resume.TOKEN`
   */
  resumeToken?: string
  /**
   * with `resume=1`: the first sample that the server needs
   */
  resumeFrom?: number
}
/**
 * The finals of the last two minutes, oldest first, at most the newest 200.
 *
 * With `since` it has the finals that the viewer lacks, all of them, in pieces of at most 200.
 * Later messages have a larger `seq`.
 */
export interface Snapshot {
  type: 'snapshot'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  utterances: Utterance[]
  /**
   * `false`: the table did not answer; only this server's finals
   */
  complete: boolean
  /**
   * `seq` of the newest message in it
   */
  seq: number
  position?: string
  /**
   * another piece follows
   */
  more: boolean
  /**
   * `since` was too long ago: these are the last two minutes instead
   */
  gap: boolean
}
/**
 * A finished utterance: the content of a `final`, and of the stored item.
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
   * label of one of several people at a microphone (diarisation)
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
  /**
   * of the finals of one stream, without gaps: 1, 2, 3
   */
  number?: number
}
/**
 * A partial or a final in the viewer's language; it may come late, or never.
 *
 * The next one of the same `utteranceId` replaces it, unless it `isFinal`. A retracted partial
 * retracts its translations, too.
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
   * the language of `text`
   */
  language: string
  text: string
  /**
   * whether it translates a final; nothing replaces it then
   */
  isFinal: boolean
  /**
   * `seq` of the message that it translates, or of the snapshot
   */
  seq: number
}
/**
 * Whether translations into the viewer's language work; sent when that changes.
 */
export interface TranslationStatus {
  type: 'translation_status'
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  /**
   * the target language
   */
  language: string
  /**
   * `failing`: some will be missing; originals are not affected
   */
  state: 'ok' | 'failing'
}
/**
 * Query parameters of `WS /api/stt/transcribe`.
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
   * `separate` recognises each of two channels by itself
   */
  channelMode?: 'mixed' | 'separate'
  /**
   * the server invents one if it is missing
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
   * options of the engine, by its own names: a JSON object
   */
  options?: string
  /**
   * `1`: the client keeps its audio until it is durable, and resumes; it sends `continue` after `ready`
   */
  resume?: boolean
  /**
   * with a resume token: larger with each connection
   */
  attempt?: number
}
