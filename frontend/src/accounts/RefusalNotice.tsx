import type { Problem } from '../shared/problem.ts'
import styles from './accounts.module.css'

/** Why something did not work; read out when it appears. */
export function RefusalNotice({ problem }: { problem: Problem | undefined }) {
  return (
    <div role="alert">
      {problem !== undefined && (
        <p className={styles.problem}>
          <strong>{problem.title}</strong> {problem.advice}
        </p>
      )}
    </div>
  )
}

/** The refusal of a call of RTK Query; what its own code throws has no words of its own. */
export function toProblem(error: unknown): Problem | undefined {
  if (error === undefined || error === null) return undefined
  if (typeof error === 'object' && 'title' in error && 'advice' in error) return error as Problem
  return { title: 'This page has a fault.', advice: 'Reload it, then try again.' }
}
