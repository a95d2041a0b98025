import type { Problem } from '../shared/problem.ts'

/** Why a microphone gives no audio. */
export type MicrophoneFault =
  | 'insecure'
  | 'unsupported'
  | 'denied'
  | 'absent'
  | 'chosen-absent'
  | 'busy'
  | 'unplugged'
  | 'failed'

export class MicrophoneError extends Error {
  readonly fault: MicrophoneFault

  constructor(fault: MicrophoneFault, cause?: unknown) {
    super(`microphone: ${fault}`, { cause })
    this.fault = fault
  }
}

/** Classifies what getUserMedia threw, by the names of the Media Capture specification. */
export function toMicrophoneFault(error: unknown): MicrophoneFault {
  if (error instanceof MicrophoneError) return error.fault
  if (!(error instanceof DOMException)) return 'failed'
  switch (error.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied'
    case 'NotFoundError':
      return 'absent'
    case 'OverconstrainedError':
      return 'chosen-absent'
    case 'NotReadableError':
    case 'AbortError':
      return 'busy'
    default:
      return 'failed'
  }
}

const PROBLEMS: Record<MicrophoneFault, Problem> = {
  insecure: {
    title: 'The microphone needs a secure connection.',
    advice: 'Open this page with https://, or on this computer as http://localhost or 127.0.0.1.',
  },
  unsupported: {
    title: 'This browser cannot record sound for captions.',
    advice: 'Use a current version of Chrome, Edge, Firefox or Safari.',
  },
  denied: {
    title: 'The microphone is blocked for this page.',
    advice:
      'Allow it in the site settings beside the address bar and in the privacy settings of your system, then press Start again.',
  },
  absent: {
    title: 'No microphone was found.',
    advice: 'Connect one, then press Start again.',
  },
  'chosen-absent': {
    title: 'The chosen microphone is not connected.',
    advice: 'Connect it again or choose another one, then press Start.',
  },
  busy: {
    title: 'The microphone cannot be used at the moment.',
    advice: 'Close other programs that may use it, then press Start again.',
  },
  unplugged: {
    title: 'The microphone was disconnected.',
    advice:
      'What was said until then is in the captions. Connect it again or choose another one, then press Start.',
  },
  failed: {
    title: 'Recording could not start.',
    advice: 'Reload the page and try again. If it stays so, try another microphone or browser.',
  },
}

/** Returns the words for a fault. */
export function describeFault(fault: MicrophoneFault): Problem {
  return PROBLEMS[fault]
}
