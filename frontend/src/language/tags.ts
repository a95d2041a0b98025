/** Languages as BCP 47 tags: what they are called, how they are written, which are the same. */

/** As in transcripts/models.py. */
const VALID = /^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$/
/** Those of Amazon Translate that are written from right to left. */
const RIGHT_TO_LEFT: ReadonlySet<string> = new Set(['ar', 'fa', 'he', 'ps', 'ur'])

/** A tag as the service takes it; undefined when it cannot be one. */
export function languageTag(text: string): string | undefined {
  if (VALID.test(text)) return text
  try {
    // People also write `FR` and `pt_PT` is never right.
    return Intl.getCanonicalLocales(text).find((tag) => VALID.test(tag))
  } catch {
    return undefined
  }
}

/** `auto` leaves it to the first letter: what was recognised may be of another language. */
export function directionOf(language: string): 'rtl' | 'auto' {
  return RIGHT_TO_LEFT.has(language.split('-')[0] ?? '') ? 'rtl' : 'auto'
}

/**
 * Whether who wants to read `wanted` can read `language`: `en-GB` for `en`, but not the
 * traditional characters of `zh-TW` for the simplified ones of `zh`.
 */
export function isReadable(language: string, wanted: string): boolean {
  return language === wanted || written(language) === written(wanted)
}

function written(tag: string): string {
  try {
    const { language, script } = new Intl.Locale(tag).maximize()
    return `${language}-${script ?? ''}`
  } catch {
    return tag
  }
}

/** What a language is called in the language of the browser. */
export function languageName(tag: string, locale?: string): string {
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

/** Languages with their names, in the order of these. */
export function byName(tags: readonly string[], locale?: string): NamedLanguage[] {
  const { compare } = new Intl.Collator(locale)
  return tags
    .map((tag) => ({ tag, name: languageName(tag, locale) }))
    .sort((a, b) => compare(a.name, b.name))
}

/** Which of `offered` a tag means: `fr` for `fr-BE`; undefined for none. */
export function offeredAs(tag: string, offered: readonly string[]): string | undefined {
  const parts = tag.toLowerCase().split('-')
  for (let length = parts.length; length > 0; length--) {
    const part = parts.slice(0, length).join('-')
    const found = offered.find((other) => other.toLowerCase() === part)
    if (found !== undefined) return found
  }
  return undefined
}
