import { expect, it } from 'vitest'

import { addressOfLink, readAddress } from './arrival.ts'

const ID = 'zalvys7zfqmb435proyk63uj24'
const SECRET = `csl_${'a'.repeat(26)}_${'b2'.repeat(13)}`

it.each([
  ['https://host/', { kind: 'home' }],
  ['https://host/#/', { kind: 'home' }],
  ['https://host/?language=fr#anything', { kind: 'home' }],
  [`https://host/#/c/${ID}`, { kind: 'conversation', id: ID }],
  ['https://host/#/c/quiet-harbour.7:k@q', { kind: 'conversation', id: 'quiet-harbour.7:k@q' }],
  ['https://host/#/c/', { kind: 'broken_link' }],
])('reads %s', (address, route) => {
  expect(readAddress(address)).toEqual({ address, route, link: undefined, answer: undefined })
})

it('takes the secret out of a share link, and keeps the rest of the address', () => {
  const link = addressOfLink('https://host', ID, SECRET)
  expect(link).toBe(`https://host/#/c/${ID}/${SECRET}`)
  expect(readAddress(link.replace('/#', '/?language=fr#'))).toMatchObject({
    address: `https://host/?language=fr#/c/${ID}`,
    route: { kind: 'conversation', id: ID },
    link: SECRET,
  })
})

it.each([
  `#/c/${ID}/${SECRET.slice(0, -1)}`,
  `#/c/${ID}/${SECRET}x`,
  `#/c/${ID}/${SECRET}/more`,
  `#/c/${SECRET}/${SECRET}/`,
  `#/c//${SECRET}`,
  `#${SECRET}`,
  `#/c/${ID}?x`,
  '#/c/..',
])('keeps nothing of the broken link %s in the address', (hash) => {
  const { address, route, link } = readAddress(`https://host/${hash}`)
  expect(route).toEqual({ kind: 'broken_link' })
  expect(link).toBeUndefined()
  expect(address).toBe('https://host/#/c/')
  expect(readAddress(address).route).toEqual({ kind: 'broken_link' })
})

it('takes the answer of a sign-in out of the address, whole', () => {
  const { address, answer } = readAddress(
    'https://host/?code=c&language=fr&state=s&iss=https%3A%2F%2Fi&session_state=x#/',
  )
  expect(address).toBe('https://host/?language=fr#/')
  expect(answer?.toString()).toBe('code=c&state=s&iss=https%3A%2F%2Fi&session_state=x')
  expect(readAddress('https://host/?error=access_denied&state=s').address).toBe('https://host/')
})

it('leaves a parameter that is no answer of a sign-in', () => {
  expect(readAddress('https://host/?code=c').answer).toBeUndefined()
  expect(readAddress('https://host/?state=s').address).toBe('https://host/?state=s')
})
