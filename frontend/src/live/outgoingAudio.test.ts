import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { MOST_KEPT, OutgoingAudio } from './outgoingAudio.ts'
import { createRandom } from './random.test-support.ts'

const RATE = 16_000
const FRAME = 1_600

let audio: OutgoingAudio
let recorded: number

beforeEach(() => {
  vi.useFakeTimers({ now: 0 })
  audio = new OutgoingAudio()
  recorded = 0
})
afterEach(() => {
  vi.useRealTimers()
})

/** Records frames of 100 ms, each as long as it takes; every sample is different for 2 s. */
function speak(seconds: number): void {
  for (let n = 0; n < Math.round(seconds * 10); n++) {
    vi.advanceTimersByTime(100)
    const values = new Int16Array(FRAME)
    for (let i = 0; i < FRAME; i++) values[i] = (recorded + i) % 32_768
    audio.push(values.buffer, Date.now())
    recorded += FRAME
  }
}

/** Takes all that may be sent now. */
function takeAll() {
  const frames: Int16Array[] = []
  const pauses: { sample: number; seconds: number }[] = []
  for (let next = audio.take(); next !== undefined; next = audio.take()) {
    if (next instanceof ArrayBuffer) frames.push(new Int16Array(next))
    else pauses.push({ sample: next.sample, seconds: next.seconds })
  }
  return { samples: summarise(frames), pauses }
}

/** Returns the first sample and the number of samples that follow each other. */
function summarise(frames: Int16Array[]): { first: number | undefined; count: number } {
  const first = frames[0]?.[0]
  let count = 0
  for (const frame of frames) {
    for (const value of frame) {
      if (value !== ((first ?? 0) + count) % 32_768) throw new Error(`${value} after ${count}`)
      count += 1
    }
  }
  return { first, count }
}

const valuesFrom = (first: number, count: number) => ({ first: first % 32_768, count })

describe('a stream that can be resumed', () => {
  it('begins with the first words, and says how old they are', () => {
    speak(0.5)
    vi.advanceTimersByTime(300)
    expect(audio.begin(true)).toEqual({
      type: 'continue',
      sample: 0,
      age: expect.closeTo(0.8) as number,
    })
    expect(takeAll().samples).toEqual(valuesFrom(0, 5 * FRAME))
  })

  it('is sent again from where the service needs it', () => {
    audio.begin(true)
    speak(0.5)
    takeAll()
    audio.acknowledge(0.4, 2_000)
    expect(audio.kept).toBeCloseTo(0.375)
    expect(audio.isBehind(2_000)).toBe(true)
    expect(audio.isBehind(0.4 * RATE)).toBe(false)
    expect(audio.resume(2_000)).toMatchObject({
      sample: 2_000,
      age: expect.closeTo(0.375) as number,
    })
    expect(takeAll().samples).toEqual(valuesFrom(2_000, 5 * FRAME - 2_000))
    expect(audio.lost).toBe(0)
  })

  it('is caught up at four times the pace of speech, behind which live words wait', () => {
    audio.begin(true)
    speak(60)
    audio.resume(0)
    let sent = 0
    for (let second = 0; second < 10; second++) {
      for (let n = 0; n < 10; n++) {
        speak(0.1)
        sent += takeAll().samples.count / RATE
      }
    }
    expect(sent).toBeGreaterThan(39)
    expect(sent).toBeLessThan(42)
    expect(audio.unsent).toBeCloseTo(70 - sent)
  })

  it('keeps ten minutes, and counts as lost what the service then lacks', () => {
    audio.begin(true)
    speak(1)
    takeAll()
    audio.acknowledge(1, 8_000)
    speak(MOST_KEPT + 4)
    expect(audio.isFull).toBe(true)
    expect(audio.kept).toBe(MOST_KEPT)
    expect(audio.lost).toBeCloseTo(4) // what was received before is not lost for certain
    expect(audio.resume(RATE)).toMatchObject({ sample: 5 * RATE })
    expect(audio.lost).toBeCloseTo(4)
    expect(takeAll().samples.first).toBe(valuesFrom(5 * RATE, 0).first)
  })

  it('has a hole where audio is dropped before it could be sent', () => {
    audio.begin(true)
    speak(MOST_KEPT + 1)
    expect(audio.hasHole).toBe(true)
    expect(audio.take()).toBeUndefined()
    audio.resume(0)
    expect(audio.hasHole).toBe(false)
  })

  it('receives a pause between its audio, again after a resume from before it', () => {
    audio.begin(true)
    speak(0.2)
    vi.advanceTimersByTime(30_000)
    speak(0.2)
    const pauses = [{ sample: 2 * FRAME, seconds: expect.closeTo(30) as number }]
    expect(takeAll()).toEqual({ samples: valuesFrom(0, 4 * FRAME), pauses })
    audio.resume(FRAME)
    expect(takeAll()).toEqual({ samples: valuesFrom(FRAME, 3 * FRAME), pauses })
    audio.resume(2 * FRAME)
    expect(takeAll().pauses).toEqual(pauses)
    audio.resume(3 * FRAME)
    expect(takeAll().pauses).toEqual([])
  })

  it('counts a pause in the age of what was recorded before it', () => {
    speak(0.2)
    vi.advanceTimersByTime(30_000)
    speak(0.2)
    expect(audio.begin(true).age).toBeCloseTo(30.4)
    expect(takeAll().pauses).toHaveLength(1)
  })
})

describe('another stream, because the service does not know the first one any more,', () => {
  it('has what is not durable', () => {
    audio.begin(true)
    speak(1)
    takeAll()
    audio.acknowledge(1, 8_000)
    audio.noteAnswer()
    vi.advanceTimersByTime(1_000)
    audio.forgetStream()
    expect(audio.begin(true)).toMatchObject({ sample: 0, age: expect.closeTo(1.5) as number })
    expect(takeAll().samples).toEqual(valuesFrom(8_000, 8_000))
    audio.acknowledge(0.25, 100)
    expect(audio.kept).toBeCloseTo(0.5 - 100 / RATE)
  })

  it('after ten minutes has what the service had not received: the rest is published', () => {
    audio.begin(true)
    speak(1)
    takeAll()
    audio.acknowledge(0.9, 8_000)
    audio.noteAnswer()
    vi.advanceTimersByTime(601_000)
    audio.forgetStream()
    audio.begin(true)
    expect(takeAll().samples).toEqual(valuesFrom(0.9 * RATE, 0.1 * RATE))
    expect(audio.lost).toBe(0)
  })

  it('lacks what could not be kept until it began', () => {
    audio.begin(true)
    audio.noteAnswer()
    audio.forgetStream()
    speak(MOST_KEPT + 3)
    expect(audio.lost).toBeCloseTo(3)
    audio.begin(true)
    expect(audio.lost).toBeCloseTo(3)
    expect(takeAll().samples.first).toBe(valuesFrom(3 * RATE, 0).first)
  })
})

it('drops what is sent to a service that cannot resume, and queues twenty seconds', () => {
  audio.begin(false)
  speak(1)
  expect(takeAll().samples.count).toBe(RATE)
  expect([audio.unsent, audio.kept]).toEqual([0, 0])
  speak(23)
  expect(audio.unsent).toBeCloseTo(20)
  expect(audio.lost).toBeCloseTo(3)
})

it('brings every sample once and in order to a service whose tasks and lines fail', () => {
  const random = createRandom(11)
  audio.begin(true)
  let received = 0 // how many samples the service has
  let durable = 0 // how many of them outlive its task
  const receive = (arrives = 1) => {
    const { first, count } = takeAll().samples
    if (first !== undefined) expect(first).toBe(received % 32_768)
    received += Math.floor(count * arrives)
    return count
  }
  for (let step = 0; step < 500; step++) {
    speak(0.1 * (1 + Math.floor(random() * 3)))
    const choice = random()
    if (choice < 0.7) {
      receive()
    } else if (choice < 0.8) {
      receive(random()) // the line breaks in the middle of what was sent
      expect(audio.resume(received).sample).toBe(received)
    } else if (choice < 0.9) {
      durable += Math.floor(random() * (received - durable))
      audio.acknowledge(received / RATE, durable)
    } else {
      received = durable
      expect(audio.resume(durable).sample).toBe(durable)
    }
  }
  do vi.advanceTimersByTime(1_000)
  while (receive() > 0)
  expect(audio.lost).toBe(0)
  expect(received).toBe(recorded)
})
