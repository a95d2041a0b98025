import styles from './InvalidLink.module.css'

/** Shown while the server does not say whether people sign in. */
export function NoAnswer({ outdated = false }: { outdated?: boolean }) {
  return (
    <main className={styles.page}>
      <h1>{outdated ? 'This page is out of date.' : 'The server does not answer.'}</h1>
      <p role="alert">
        {outdated
          ? 'A part of it could not be loaded. Reload the page.'
          : 'The page tries again by itself. If that takes long, check your network.'}
      </p>
    </main>
  )
}
