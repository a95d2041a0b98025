// One stream of Amazon's SDK for JavaScript, the same in Node and in a browser. Times are seconds.
//
//   wanted    endpoint, key, secret, token   what the client is constructed with
//             options                        of StartStreamTranscriptionCommand; with a Specialty, of
//                                            StartMedicalStreamTranscriptionCommand
//             seconds                        of silence to send, at ten times its pace
//             audio, size                    base64 to send instead, in events of so many bytes
//             end                            what happens when all is sent:
//                                            `sdk`: the SDK gets the end of the audio, and ends
//                                            `event`: an empty event, and the SDK does not end
//                                            `never`: nothing
//             patience                       with which the next result is awaited
// outcome   results                        the results: id, partial, text, entities
//             error, message, status         of the exception that ended it, else null
//             session                        its id, from the response

import {
  StartMedicalStreamTranscriptionCommand,
  StartStreamTranscriptionCommand,
  TranscribeStreamingClient,
} from '@aws-sdk/client-transcribe-streaming'

const RATE = 16_000
const EVENT_SECONDS = 0.1

export async function stream(wanted) {
  const outcome = { results: [], error: null, message: null, status: null, session: null }
  const over = new AbortController()
  const client = new TranscribeStreamingClient({
    region: 'us-east-1',
    endpoint: wanted.endpoint,
    credentials: {
      accessKeyId: wanted.key,
      secretAccessKey: wanted.secret,
      sessionToken: wanted.token,
    },
  })
  const Command = wanted.options.Specialty
    ? StartMedicalStreamTranscriptionCommand
    : StartStreamTranscriptionCommand
  const command = new Command({
    LanguageCode: 'en-US',
    MediaEncoding: 'pcm',
    MediaSampleRateHertz: RATE,
    ...wanted.options,
    AudioStream: events(wanted, over.signal),
  })
  try {
    const response = await within(wanted.patience, client.send(command))
    outcome.session = response.SessionId
    const results = response.TranscriptResultStream[Symbol.asyncIterator]() // of either command
    for (;;) {
      const { done, value } = await within(wanted.patience, results.next())
      if (done) break
      outcome.results.push(...value.TranscriptEvent.Transcript.Results.map(facts))
    }
  } catch (error) {
    outcome.error = error.name
    outcome.message = error.message
    outcome.status = error.$metadata?.httpStatusCode ?? null
  }
  over.abort()
  client.destroy()
  return outcome
}

async function* events(wanted, over) {
  for (const chunk of wanted.audio ? pieces(wanted) : silence(wanted)) {
    if (over.aborted) return
    yield { AudioEvent: { AudioChunk: chunk } }
    await new Promise((resolve) => setTimeout(resolve, 100 * EVENT_SECONDS))
  }
  if (wanted.end === 'event') yield { AudioEvent: { AudioChunk: new Uint8Array() } }
  if (wanted.end !== 'sdk' && !over.aborted) {
    await new Promise((resolve) => over.addEventListener('abort', resolve))
  }
}

function* silence({ seconds }) {
  const count = Math.round(seconds / EVENT_SECONDS)
  for (let sent = 0; sent < count; sent++) yield new Uint8Array(2 * RATE * EVENT_SECONDS)
}

function* pieces({ audio, size }) {
  const bytes = Uint8Array.from(atob(audio), (character) => character.charCodeAt(0))
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size)
}

function facts({ ResultId, IsPartial, Alternatives: [{ Transcript, Entities }] }) {
  return { id: ResultId, partial: IsPartial, text: Transcript, entities: Entities ?? [] }
}

async function within(seconds, promise) {
  let timer
  const late = new Promise((_, reject) => {
    const error = Object.assign(new Error(`Nothing for ${seconds} s.`), { name: 'OutOfPatience' })
    timer = setTimeout(() => reject(error), 1000 * seconds)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
