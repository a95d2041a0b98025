// Streams in Node: `{number, wanted}` as a line of JSON comes in, `{number, outcome}` goes out.

import { createInterface } from 'node:readline'

import { stream } from './stream.mjs'

for await (const line of createInterface({ input: process.stdin })) {
  const { number, wanted } = JSON.parse(line)
  stream(wanted).then((outcome) => console.log(JSON.stringify({ number, outcome })))
}
process.exit() // or else it waits for streams that a fault keeps open
