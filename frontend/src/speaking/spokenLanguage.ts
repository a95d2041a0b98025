/**
 * Chooses the language to recognise at first: the previous choice if `offered`, else the service's
 * default, else the closest to the browser's language. Undefined where the engine takes any
 * language, which leaves the choice to the server.
 *
 * @param offered BCP 47 tags with a region, as the engine has them; empty where it takes any
 * @param remembered a tag, or an empty text
 */
export function chooseSpokenLanguage(
  offered: readonly string[],
  remembered: string,
  browser: string,
): string | undefined {
  const wish = [remembered, 'en-US'].find((tag) => offered.includes(tag))
  return wish ?? findClosest(browser, offered) ?? offered[0]
}

function findClosest(wish: string, offered: readonly string[]): string | undefined {
  try {
    // Adds the likely region: `de` becomes `de-DE`.
    const { language, region } = new Intl.Locale(wish).maximize()
    const likely = `${language}-${region ?? ''}`
    return offered.includes(likely) ? likely : offered.find((tag) => tag.split('-')[0] === language)
  } catch {
    return undefined
  }
}
