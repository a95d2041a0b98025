import { Countdown } from './Countdown.tsx'
import styles from './Notices.module.css'
import type { Problem } from './problem.ts'
import { useAppSelector } from './store.ts'

interface Notice {
  problem: Problem
  retryAt?: number | undefined
  /** The page cannot help itself any more. */
  final: boolean
}

const EARLIER_MISSING: Problem = {
  title: 'Earlier captions could not be loaded.',
  advice: 'New ones appear as they are spoken. The page goes on trying.',
}

/** What stands in the way at the moment, and what to do about it. */
export function Notices() {
  const speaking = useAppSelector((state) => state.speaking)
  const viewing = useAppSelector((state) => state.viewing)
  const incomplete = useAppSelector((state) => state.conversation.incomplete)

  const notices: Notice[] = []
  if (speaking.problem !== undefined) {
    const { problem, retryAt, phase } = speaking
    notices.push({ problem, retryAt, final: phase === 'idle' })
  }
  // One network, two sockets: the same trouble is told once.
  if (viewing.problem !== undefined && viewing.problem.title !== speaking.problem?.title) {
    const { problem, retryAt, status } = viewing
    notices.push({ problem, retryAt, final: status === 'ended' })
  }
  if (incomplete && viewing.status === 'live') {
    notices.push({ problem: EARLIER_MISSING, final: false })
  }

  return (
    <div className={styles.notices}>
      {notices.map(({ problem, retryAt, final }) => (
        <div key={problem.title} className={final ? styles.final : styles.passing}>
          {/* The countdown stays outside, or it would be read out every second. */}
          <p role="alert">
            <strong>{problem.title}</strong> {problem.advice}
          </p>
          {retryAt !== undefined && <Countdown until={retryAt} />}
        </div>
      ))}
    </div>
  )
}
