/** Languages as BCP 47 tags: their validity, names, writing direction and equivalence. */

/** As in transcripts/models.py. */
const VALID = /^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$/
/** The languages of Amazon Translate that are written from right to left. */
const RIGHT_TO_LEFT: ReadonlySet<string> = new Set(['ar', 'fa', 'he', 'ps', 'ur'])

/** Returns a tag in the service's form; undefined where the text is no tag. */
export function parseTag(text: string): string | undefined {
  if (VALID.test(text)) return text
  try {
    // `FR` becomes `fr`; `pt_PT` is no tag.
    return Intl.getCanonicalLocales(text).find((tag) => VALID.test(tag))
  } catch {
    return undefined
  }
}

/** Chooses a text's direction. `auto` goes by the first letter, for text in another language. */
export function chooseDirection(language: string): 'rtl' | 'auto' {
  return RIGHT_TO_LEFT.has(language.split('-')[0] ?? '') ? 'rtl' : 'auto'
}

/**
 * Whether a reader of `wanted` can read `language`: a reader of `en` can read `en-GB`, but a reader
 * of `zh`, in simplified characters, cannot read `zh-TW`, in traditional ones.
 */
export function isReadable(language: string, wanted: string): boolean {
  return language === wanted || toScript(language) === toScript(wanted)
}

/**
 * Whether a language is one of `allowed`, where `de` includes `de-AT`; undefined allows all. This is
 * basic filtering (RFC 4647, section 3.3.1), as in access/decisions.py.
 */
export function isAllowed(language: string, allowed: readonly string[] | undefined): boolean {
  if (allowed === undefined) return true
  const asked = `${language.toLowerCase()}-`
  return allowed.some((each) => asked.startsWith(`${each.toLowerCase()}-`))
}

function toScript(tag: string): string {
  try {
    const { language, script } = new Intl.Locale(tag).maximize()
    return `${language}-${script ?? ''}`
  } catch {
    return tag
  }
}

/** Returns the name of a language in the browser's language, or in that of `locale`. */
export function nameLanguage(tag: string, locale?: string): string {
  try {
    return new Intl.DisplayNames(locale, { type: 'language' }).of(tag) ?? tag
  } catch {
    return tag
  }
}

export interface NamedLanguage {
  tag: string
  name: string
}

/** Returns languages with their names, sorted by name. */
export function sortByName(tags: readonly string[], locale?: string): NamedLanguage[] {
  const { compare } = new Intl.Collator(locale)
  return tags
    .map((tag) => ({ tag, name: nameLanguage(tag, locale) }))
    .sort((a, b) => compare(a.name, b.name))
}

/** Finds the offered language that matches a tag: `fr` for `fr-BE`; undefined for none. */
export function findOffered(tag: string, offered: readonly string[]): string | undefined {
  const parts = tag.toLowerCase().split('-')
  for (let length = parts.length; length > 0; length--) {
    const part = parts.slice(0, length).join('-')
    const found = offered.find((other) => other.toLowerCase() === part)
    if (found !== undefined) return found
  }
  return undefined
}
