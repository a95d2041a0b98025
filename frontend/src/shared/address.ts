/** The parameters of the page's address. */

/** Returns a parameter of an address; undefined where it is absent. */
export function readParameter(address: string, name: string): string | undefined {
  return new URL(address).searchParams.get(name) ?? undefined
}

/** Returns an address with another value of a parameter; undefined removes it. */
export function withParameter(address: string, name: string, value: string | undefined): string {
  const url = new URL(address)
  if (value === undefined) url.searchParams.delete(name)
  else url.searchParams.set(name, value)
  return url.href
}
