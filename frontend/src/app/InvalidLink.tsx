import styles from './InvalidLink.module.css'

/** Shown when the address names a conversation that cannot exist. */
export function InvalidLink() {
  return (
    <main className={styles.page}>
      <h1>This link does not lead to a conversation.</h1>
      <p>
        The name of a conversation is 1 to 128 letters, digits and <code>. _ : @ -</code>, and
        begins with a letter or digit. Ask for the link again, or start a conversation of your own.
      </p>
      <a href="/">Start a new conversation</a>
    </main>
  )
}
