// Rendered from access/messages.py by `npm run protocol`. Edit that module, not this one.

export type Definition =
  | AccountAccess
  | ChangedConversation
  | ChangedPerson
  | Conversation
  | ConversationPage
  | Invitation
  | IssuedTicket
  | Key
  | KeyList
  | KeyWithSecret
  | Link
  | LinkWithSecret
  | Me
  | NewConversation
  | NewKey
  | NewLink
  | NewRecording
  | NewRole
  | NewTicket
  | OpenAccess
  | PartAddress
  | PartAddresses
  | PeoplePage
  | PersonView
  | Problem
  | Recording
  | RecordingFailure
  | RecordingPage
  | Role
  | Scope
  | StartedUpload
  | TranscriptAddress
  | WantedParts
/**
 * What somebody is in a conversation.
 *
 * This interface was referenced by `undefined`'s JSON-Schema definition
 * via the `patternProperty` "^[A-Za-z0-9_-]{1,64}$".
 */
export type Role = 'owner' | 'speaker' | 'reader'
/**
 * What an API key is for; a key has no right that its person lacks.
 */
export type Scope = 'read' | 'speak' | 'manage'

/**
 * `/access.json` of an environment with accounts: where to sign in, and as which client.
 *
 * The addresses are those of OpenID Connect (RFC 8414); the clients are public ones, with PKCE.
 */
export interface AccountAccess {
  kind?: 'accounts'
  issuer: string
  pageClientId: string
  programClientId: string
  authorizationEndpoint: string
  tokenEndpoint: string
  logoutEndpoint?: string | null
  revocationEndpoint?: string | null
  scopes?: string[]
}
/**
 * Renames a conversation of this version.
 */
export interface ChangedConversation {
  title: string
  version: number
}
/**
 * Blocks a person, or lets them in again.
 */
export interface ChangedPerson {
  isBlocked: boolean
}
/**
 * A conversation, as the caller may see it: people and links are for its owner alone.
 */
export interface Conversation {
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  title: string
  role: Role
  createdAt: string
  version: number
  people?: {
    [k: string]: Role
  } | null
  links?: Link[] | null
}
/**
 * A share link, without its secret.
 */
export interface Link {
  linkId: string
  role: 'speaker' | 'reader'
  label: string
  createdAt: string
  expiresAt: string
  /**
   * those of translations; without it, all of them
   */
  languages?: string[] | null
}
/**
 * Conversations of the caller, newest first; `cursor` continues after them.
 */
export interface ConversationPage {
  conversations: Conversation[]
  cursor?: string | null
}
/**
 * Invites a person, who gets an e-mail with a first password.
 */
export interface Invitation {
  email: string
  isAdministrator?: boolean
}
/**
 * A ticket, and what the page shows about the conversation.
 */
export interface IssuedTicket {
  ticket: string
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  title: string
  role: Role
  action: 'read' | 'speak'
  expiresAt: string
  secondsLeft: number
  /**
   * those of translations; without it, all of them
   */
  languages?: string[] | null
}
/**
 * An API key, without its secret.
 */
export interface Key {
  keyId: string
  label: string
  scopes: Scope[]
  createdAt: string
  expiresAt: string
}
/**
 * The caller's API keys.
 */
export interface KeyList {
  keys: Key[]
}
/**
 * A new API key with its secret, which is shown this once.
 */
export interface KeyWithSecret {
  key: Key
  secret: string
}
/**
 * A new share link with its secret, which is shown this once.
 */
export interface LinkWithSecret {
  link: Link
  secret: string
}
/**
 * The caller. `key` is the id of the API key in use.
 */
export interface Me {
  subject: string
  isAdministrator: boolean
  key?: string | null
  scopes?: Scope[] | null
}
/**
 * Creates a conversation; the caller owns it.
 */
export interface NewConversation {
  title: string
}
/**
 * Makes an API key.
 */
export interface NewKey {
  label: string
  /**
   * @minItems 1
   * @maxItems 3
   */
  scopes: Scope[]
  days?: number
}
/**
 * Makes a share link.
 */
export interface NewLink {
  role?: 'speaker' | 'reader'
  label?: string
  days?: number
  /**
   * those of translations; without it, all of them
   */
  languages?: string[] | null
}
/**
 * Begins the upload of a recording. `size` is in bytes.
 */
export interface NewRecording {
  title: string
  fileName: string
  size: number
  contentType?: string
}
/**
 * Gives a person a role.
 */
export interface NewRole {
  role: 'speaker' | 'reader'
}
/**
 * Asks for a ticket. A guest's secret names the link and not the conversation.
 */
export interface NewTicket {
  /**
   * 1 to 128 letters, digits and `._:@-`, a letter or digit first
   */
  conversationId: string
  action: 'read' | 'speak'
}
/**
 * `/access.json` of an environment in which nobody signs in.
 */
export interface OpenAccess {
  kind?: 'open'
}
/**
 * Where one part is sent by PUT, with exactly `size` bytes and `Content-Length`.
 */
export interface PartAddress {
  number: number
  size: number
  address: string
}
/**
 * Addresses of parts. They are secrets, and last for `secondsLeft`.
 */
export interface PartAddresses {
  parts: PartAddress[]
  secondsLeft: number
}
/**
 * People; `cursor` continues after them.
 */
export interface PeoplePage {
  people: PersonView[]
  cursor?: string | null
}
/**
 * A person of the environment, as administrators see them. `user` is the name at the issuer.
 */
export interface PersonView {
  subject: string
  user: string
  email?: string | null
  isAdministrator?: boolean
  isBlocked?: boolean
  hasJoined?: boolean
}
/**
 * Why a request was refused (RFC 9457). `type` is `about:blank`; `reason` is for programs.
 */
export interface Problem {
  type?: 'about:blank'
  title: string
  status: number
  detail: string
  reason: string
}
/**
 * A recording of the caller.
 */
export interface Recording {
  recordingId: string
  title: string
  fileName: string
  size: number
  contentType: string
  createdAt: string
  state: 'uploading' | 'aborted' | 'waiting' | 'transcribed' | 'failed' | 'gone'
  failure?: RecordingFailure | null
}
/**
 * Why a recording has no transcript: `code` is for programs, `message` for people.
 */
export interface RecordingFailure {
  code: string
  message: string
}
/**
 * Recordings of the caller, newest first; `cursor` continues after them.
 */
export interface RecordingPage {
  recordings: Recording[]
  cursor?: string | null
}
/**
 * A new upload: part N begins at byte (N - 1) * `partBytes`. The first addresses come along.
 */
export interface StartedUpload {
  parts: PartAddress[]
  secondsLeft: number
  recording: Recording
  partBytes: number
  partCount: number
}
/**
 * Where a transcript is downloaded. The address is a secret, and lasts for `secondsLeft`.
 */
export interface TranscriptAddress {
  address: string
  secondsLeft: number
}
/**
 * Asks for the addresses of parts, by their numbers from 1 on.
 */
export interface WantedParts {
  /**
   * @minItems 1
   * @maxItems 100
   */
  numbers: number[]
}
