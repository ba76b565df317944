// Numbers with their units: how many digits a value deserves follows from its unit, so that columns line up.

const DIGITS: Record<string, number> = {
  'µg/m³': 0,
  'dB(A)': 1,
  '°C': 1,
  '%RH': 0,
  hPa: 0,
  'm/s': 1,
  '°': 1,
  t: 2,
  m: 1,
  '%': 0,
  mm: 1,
}

// Both code points of the micro sign occur in data; the page shows one.
const sameSign = (unit: string): string => unit.replace('\u03bc', '\u00b5')

/** Digits after the point for a value of this unit; a unit that is not listed gets one. */
export function digitsOf(unit: string): number {
  return DIGITS[sameSign(unit)] ?? 1
}

/** The number alone, with tabular digits in mind; an absent value is a dash, never a zero. */
export function formatNumber(value: number | null | undefined, unit = ''): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–'
  const text = value.toFixed(digitsOf(unit))
  return Number(text) === 0 ? text.replace('-', '') : text
}

/** Number and unit, apart by a narrow space except for degrees and per cent. */
export function formatValue(value: number | null | undefined, unit: string): string {
  const number = formatNumber(value, unit)
  if (!unit || number === '–') return number
  return /^[°%]$/.test(unit) ? number + unit : `${number}\u202f${sameSign(unit)}`
}

/** Counters: groups of three digits, so that thousands read at a glance. */
export function formatCount(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  return value.toLocaleString('en-US')
}
