/**
 * The language to recognise at first, of `offered`: what was chosen last time, else the service's
 * own default, else what is closest to the browser's. Undefined where everything is offered, which
 * leaves it to the server.
 *
 * @param offered BCP 47 tags with a region, as the engine has them; none stands for any
 * @param remembered a tag, or an empty text
 */
export function spokenAtFirst(
  offered: readonly string[],
  remembered: string,
  browser: string,
): string | undefined {
  const wish = [remembered, 'en-US'].find((tag) => offered.includes(tag))
  return wish ?? closest(browser, offered) ?? offered[0]
}

function closest(wish: string, offered: readonly string[]): string | undefined {
  try {
    // `de` is most likely that of Germany.
    const { language, region } = new Intl.Locale(wish).maximize()
    const likely = `${language}-${region ?? ''}`
    return offered.includes(likely) ? likely : offered.find((tag) => tag.split('-')[0] === language)
  } catch {
    return undefined
  }
}
