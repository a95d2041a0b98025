/** Checks the direction of imports in src/, type imports included: `npm run imports`. */

/** The folders of src/ from top to bottom. Each may import from those in the rows below its own. */
const LAYERS = [
  ['app'],
  ['accounts'],
  ['speaking', 'viewing'],
  ['conversation'],
  ['language'],
  ['live'],
  ['audio'],
  ['shared'],
]

const folders = (rows) => `^src/(${rows.flat().join('|')})/`

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...LAYERS.flatMap((row, at) =>
      row.map((folder) => ({
        name: `above-${folder}`,
        comment: `${folder}/ may import from itself, from the rows below it and from src/protocol.ts and api.ts.`,
        severity: 'error',
        from: { path: folders([folder]) },
        to: {
          path: '^src/',
          pathNot: [folders([folder, LAYERS.slice(at + 1)].flat(2)), '^src/(protocol|api).ts$'],
        },
      })),
    ),
    {
      name: 'unknown-folder',
      comment: 'Every folder of src/ has a row in LAYERS.',
      severity: 'error',
      from: { path: '^src/.+/', pathNot: folders(LAYERS) },
      to: {},
    },
    { name: 'cycle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'unused-module',
      severity: 'error',
      from: { orphan: true, path: '^src/' },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import'] },
  },
}
