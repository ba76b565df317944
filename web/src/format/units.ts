// Numbers with their units: how many digits a value deserves follows from its unit, so that columns line up.
import type { Channel, Language } from '@/api/types'

const DIGITS: Record<string, number> = {
  'µg/m³': 0,
  'dB(A)': 1,
  '°C': 1,
  '%RH': 0,
  hPa: 0,
  kPa: 0,
  'm/s': 1,
  degrees: 1,
  t: 2,
  kN: 1,
  m: 1,
  '%': 0,
  mm: 1,
  mA: 0,
  'L/min': 0,
}

/** What stands on the page for a canonical unit; both code points of the micro sign occur in data, the page shows one. */
export function unitSign(unit: string): string {
  return unit === 'degrees' ? '°' : unit.replace('\u03bc', '\u00b5')
}

/** Digits after the point for a value of this unit; a unit that is not listed gets one. */
export function digitsOf(unit: string): number {
  return DIGITS[unit.replace('\u03bc', '\u00b5')] ?? 1
}

/** The number alone; an absent value is a dash, never a zero. */
export function formatNumber(value: number | null | undefined, unit = ''): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–'
  const text = value.toFixed(digitsOf(unit))
  return Number(text) === 0 ? text.replace('-', '') : text
}

/** Number and unit, apart by a narrow space except for degrees and per cent. */
export function formatValue(value: number | null | undefined, unit: string): string {
  const number = formatNumber(value, unit)
  if (!unit || number === '–') return number
  const sign = unitSign(unit)
  return /^[°%]$/.test(sign) ? number + sign : `${number}\u202f${sign}`
}

/** The number of a channel without its unit: whole numbers for counts, the symbol's word for an enumeration. */
export function formatReading(value: number | null | undefined, channel: Channel, language: Language): string {
  if (value === null || value === undefined) return '–'
  if (channel.type === 'enum') {
    const symbol = channel.symbols?.[value]
    return symbol ? (language === 'zh' ? symbol.label : symbol.label_en || symbol.name) : String(value)
  }
  return channel.type === 'bigint' ? String(Math.round(value)) : formatNumber(value, channel.unit)
}

/** Counters: groups of three digits, so that thousands read at a glance. */
export function formatCount(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  return value.toLocaleString('en-US')
}

/** From here on a wall shows four figures and a word for the rest (128.4万, 1.284M). */
const LARGE = 1_000_000

/** Counters that grow without end, kept to a width that a tile holds. */
export function formatLargeCount(value: number | null | undefined, language: Language): string {
  if (value === null || value === undefined || value < LARGE) return formatCount(value)
  const locale = language === 'zh' ? 'zh-CN' : 'en-US'
  return value.toLocaleString(locale, { notation: 'compact', maximumSignificantDigits: 4 })
}

/** A file's size; 1 MB = 1024 kB, as limits are set and systems show it. */
export function formatBytes(bytes: number): string {
  const kilobytes = bytes / 1024
  if (kilobytes < 1) return `${bytes} B`
  return kilobytes < 1024 ? `${Math.ceil(kilobytes)} kB` : `${(kilobytes / 1024).toFixed(kilobytes < 10240 ? 1 : 0)} MB`
}
