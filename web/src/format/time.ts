// Times are shown in a site's own zone; the browser's zone and clock are never assumed to be right.
import type { Language } from '@/api/types'

const LOCALE: Record<Language, string> = { zh: 'zh-CN', en: 'en-GB' }

const STYLES = {
  time: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  minute: { hour: '2-digit', minute: '2-digit' },
  moment: { month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' },
  full: { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' },
  day: { month: '2-digit', day: '2-digit' },
  weekday: { weekday: 'short', month: '2-digit', day: '2-digit' },
  date: { year: 'numeric', month: 'long', day: 'numeric', weekday: 'short' },
} satisfies Record<string, Intl.DateTimeFormatOptions>

export type TimeStyle = keyof typeof STYLES

// Making a formatter costs far more than using one.
const formatters = new Map<string, Intl.DateTimeFormat>()

/** Text of a moment (ms since the epoch) in an IANA zone; a zone the browser does not know falls back to UTC+8's. */
export function formatTime(at: number | null | undefined, style: TimeStyle, zone: string, language: Language): string {
  if (at === null || at === undefined) return '–'
  const key = `${style} ${zone} ${language}`
  let formatter = formatters.get(key)
  if (!formatter) {
    formatter = new Intl.DateTimeFormat(LOCALE[language], { ...STYLES[style], hourCycle: 'h23', timeZone: knownZone(zone) })
    formatters.set(key, formatter)
  }
  return formatter.format(at)
}

const DEFAULT_ZONE = 'Asia/Shanghai'

function knownZone(zone: string): string {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone })
    return zone
  } catch (error) {
    if (error instanceof RangeError) return DEFAULT_ZONE
    throw error
  }
}

/** How long ago, or how long it lasted: the two largest units are enough. */
export function splitDuration(milliseconds: number): { unit: 'second' | 'minute' | 'hour' | 'day'; count: number; rest: number } {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  if (seconds < 60) return { unit: 'second', count: seconds, rest: 0 }
  if (seconds < 3600) return { unit: 'minute', count: Math.floor(seconds / 60), rest: seconds % 60 }
  if (seconds < 86400) return { unit: 'hour', count: Math.floor(seconds / 3600), rest: Math.floor((seconds % 3600) / 60) }
  return { unit: 'day', count: Math.floor(seconds / 86400), rest: Math.floor((seconds % 86400) / 3600) }
}

/** A zone's clock at a moment, as ms of a UTC clock that shows the same; whole minutes. */
function shownAt(at: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en', {
    timeZone: knownZone(zone), hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric',
  }).formatToParts(at)
  const part = (type: string): number => Number(parts.find((one) => one.type === type)?.value)
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'))
}

/** What a zone's clock shows at a moment, as `2026-08-01T16:05`; empty for none. */
export const clockText = (at: number | null, zone: string): string =>
  at === null ? '' : new Date(shownAt(at, zone)).toISOString().slice(0, 16)

/** The moment at which a zone's clock shows such a text; null for what is no time. */
export function momentOf(text: string, zone: string): number | null {
  const shown = Date.parse(`${text}Z`)
  if (Number.isNaN(shown)) return null
  // The offset of the guess may lie on the other side of a change of the clock: it is taken again at the place found.
  const guess = shown - (shownAt(shown, zone) - shown)
  return shown - (shownAt(guess, zone) - guess)
}
