// Renders src/protocol.ts from the service's pydantic models.
//
//     npm run protocol          write it
//     npm run protocol:check    fail when it is stale
//
// The schema comes from `python -m transcripts.render schema`. PYTHON names the interpreter;
// without it, the tree's own virtual environment is used where there is one.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { compile } from 'json-schema-to-typescript'
import * as prettier from 'prettier'

const root = fileURLToPath(new URL('../..', import.meta.url))
const target = fileURLToPath(new URL('../src/protocol.ts', import.meta.url))

const BANNER = `// Rendered from transcripts/protocol.py by \`npm run protocol\`. Edit that module, not this one.
`

function interpreter() {
  const own = ['.venv/bin/python', '.venv/Scripts/python.exe'].map((path) => root + path)
  return process.env.PYTHON ?? own.find((path) => existsSync(path)) ?? 'python3'
}

async function render() {
  const output = execFileSync(interpreter(), ['-m', 'transcripts.render', 'schema'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  })
  // The compiler writes what its root leads to, so the root leads to everything.
  const schema = JSON.parse(output)
  schema.anyOf = Object.keys(schema.$defs).map((name) => ({ $ref: `#/$defs/${name}` }))
  const source = await compile({ ...schema, title: 'Definition' }, 'Definition', {
    additionalProperties: false,
    bannerComment: BANNER,
    // Without this an array with a bound becomes a union of tuples.
    ignoreMinAndMaxItems: true,
    format: false,
  })
  return prettier.format(source, { ...(await prettier.resolveConfig(target)), filepath: target })
}

const rendered = await render()
if (!process.argv.includes('--check')) {
  writeFileSync(target, rendered)
} else if (!existsSync(target) || readFileSync(target, 'utf8') !== rendered) {
  console.error('src/protocol.ts is stale: run `npm run protocol` and commit the result.')
  process.exitCode = 1
}
