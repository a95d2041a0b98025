/**
 * Returns an address of this page to return to after the sign-in: path, query and fragment. What
 * leads to another origin leads to the home page.
 */
export function toReturnPath(path: string | undefined, origin: string): string {
  if (path?.startsWith('/') !== true) return '/'
  try {
    const url = new URL(path, origin)
    return url.origin === origin ? url.pathname + url.search + url.hash : '/'
  } catch {
    return '/'
  }
}
