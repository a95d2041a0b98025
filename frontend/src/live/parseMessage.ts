import type { ServerMessage } from '../protocol.ts'

const TYPES: Record<ServerMessage['type'], true> = {
  ready: true,
  partial: true,
  final: true,
  ack: true,
  error: true,
  closed: true,
  snapshot: true,
  heartbeat: true,
  translation: true,
  translation_status: true,
}

/**
 * Parses one frame of the server; undefined for a type that this page does not know.
 *
 * Only the type is checked: the server is of the same build and has validated the fields.
 */
export function parseMessage(data: unknown): ServerMessage | undefined {
  if (typeof data !== 'string') return undefined
  const value: unknown = JSON.parse(data)
  if (typeof value !== 'object' || value === null || !('type' in value)) return undefined
  return typeof value.type === 'string' && Object.hasOwn(TYPES, value.type)
    ? (value as ServerMessage)
    : undefined
}
