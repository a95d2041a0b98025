// Renders src/protocol.ts and src/api.ts from the pydantic models of the service and the API.
//
//     npm run protocol          write them
//     npm run protocol:check    fail when one is stale
//
// The schemas come from `python -m transcripts.render schema` and `python -m access.render`.
// PYTHON names the interpreter; without it, the tree's own virtual environment is used where there
// is one.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { compile } from 'json-schema-to-typescript'
import * as prettier from 'prettier'

const root = fileURLToPath(new URL('../..', import.meta.url))
const RENDERED = [
  {
    file: 'src/protocol.ts',
    command: ['transcripts.render', 'schema'],
    source: 'transcripts/protocol.py',
  },
  { file: 'src/api.ts', command: ['access.render'], source: 'access/messages.py' },
]

function interpreter() {
  const own = ['.venv/bin/python', '.venv/Scripts/python.exe'].map((path) => root + path)
  return process.env.PYTHON ?? own.find((path) => existsSync(path)) ?? 'python3'
}

/**
 * @param {string[]} command module and arguments
 * @param {string} source the models' file, for the banner
 * @param {string} target
 */
async function render(command, source, target) {
  const output = execFileSync(interpreter(), ['-m', ...command], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  })
  // The compiler writes what its root leads to, so the root leads to everything.
  const schema = JSON.parse(output)
  schema.anyOf = Object.keys(schema.$defs).map((name) => ({ $ref: `#/$defs/${name}` }))
  const types = await compile({ ...schema, title: 'Definition' }, 'Definition', {
    additionalProperties: false,
    bannerComment: `// Rendered from ${source} by \`npm run protocol\`. Edit that module, not this one.\n`,
    // Without this an array with a bound becomes a union of tuples.
    ignoreMinAndMaxItems: true,
    format: false,
  })
  return prettier.format(types, { ...(await prettier.resolveConfig(target)), filepath: target })
}

for (const { file, command, source } of RENDERED) {
  const target = fileURLToPath(new URL(`../${file}`, import.meta.url))
  const rendered = await render(command, source, target)
  if (!process.argv.includes('--check')) {
    writeFileSync(target, rendered)
  } else if (!existsSync(target) || readFileSync(target, 'utf8') !== rendered) {
    console.error(`${file} is stale: run \`npm run protocol\` and commit the result.`)
    process.exitCode = 1
  }
}
