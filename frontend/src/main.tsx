import './app/base.css'

import { createRoot, type Root } from 'react-dom/client'

import { NoAnswer } from './app/NoAnswer.tsx'
import { openPage } from './app/openPage.tsx'
import { Reconnect } from './live/reconnect.ts'
import { takeSecrets } from './shared/arrival.ts'
import { findAccess, type Found } from './shared/findAccess.ts'
import { openTabStorage } from './shared/tabStorage.ts'

const storage = openTabStorage()
const answer = takeSecrets(storage) // before anything else

const element = document.getElementById('root')
if (element === null) throw new Error('index.html has no #root')
const root = createRoot(element)

const retry = new Reconnect(() => void start(root))
void start(root)

/** Asks how people get in, and shows the page for it. What only accounts need is loaded for them. */
async function start(root: Root): Promise<void> {
  let found: Found
  try {
    found = await findAccess(location.origin)
  } catch {
    root.render(<NoAnswer />)
    retry.schedule()
    return
  }
  const { access, clockSkew } = found
  if (access.kind === 'open') {
    openPage(root)
    return
  }
  try {
    const { openAccountPage } = await import('./app/openAccountPage.tsx')
    openAccountPage(root, { access, clockSkew, answer, storage })
  } catch {
    root.render(<NoAnswer outdated />)
  }
}
