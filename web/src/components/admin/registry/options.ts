// A camera's options: JSON as the registry holds it, and the fields of a form. What is not set has the default.
import type { CameraOption } from '@/api/types'

export type Options = Record<string, unknown>

/** The options that a text makes; null: none. */
export function parsed(text: string): Options | null {
  if (!text.trim()) return {}
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Options) : null
  } catch {
    return null
  }
}

export const written = (options: Options): string => (Object.keys(options).length ? JSON.stringify(options, null, 2) : '')

const isNumber = ({ type }: CameraOption): boolean => type === 'number' || type === 'integer'

/** The value that was entered; undefined: none, so that the default holds. What is no number stays text, to be told. */
export function entered(field: CameraOption, text: string): unknown {
  const bare = text.trim()
  // Where the default is a text, nothing is another one.
  if (!bare) return field.type === 'text' && field.default !== '' ? '' : undefined
  if (field.type === 'boolean') return bare === 'true'
  return isNumber(field) && Number.isFinite(Number(bare)) ? Number(bare) : bare
}

export const asText = (value: unknown): string => (value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value))

export interface OptionFault {
  /** Of `rowFault`. */
  code: string
  values: Record<string, string>
}

/** What is wrong with a value by the limits of the server, which has the last word. */
export function faultOf(field: CameraOption, value: unknown): OptionFault | null {
  const told = (code: string, values: Record<string, string> = {}): OptionFault => ({ code, values })
  if (value === undefined) return null
  if (isNumber(field)) {
    if (typeof value !== 'number') return told(field.type === 'integer' ? 'int_parsing' : 'float_parsing')
    if (field.type === 'integer' && !Number.isInteger(value)) return told('int_from_float')
    const { over, least, below, most } = field
    if (over !== null && value <= over) return told('greater_than', { gt: String(over) })
    if (least !== null && value < least) return told('greater_than_equal', { ge: String(least) })
    if (below !== null && value >= below) return told('less_than', { lt: String(below) })
    if (most !== null && value > most) return told('less_than_equal', { le: String(most) })
  } else if (field.max_length !== null && asText(value).length > field.max_length) {
    return told('string_too_long', { max_length: String(field.max_length) })
  }
  return null
}

/** The limits as signs, in brackets. */
export function limitsOf({ over, least, below, most }: CameraOption): string {
  const ends: [string, number | null][] = [['>', over], ['≥', least], ['<', below], ['≤', most]]
  const told = ends.filter(([, end]) => end !== null).map(([sign, end]) => `${sign}\u00a0${end}`)
  return told.length ? `(${told.join(', ')})` : ''
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

/** The options whose values differ, in the order in which they are met. */
export const changed = (before: Options, after: Options): string[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => !same(before[name], after[name]))

/** What somebody else has written, but for the options that were changed here. */
export function merged(before: Options, mine: Options, theirs: Options): Options {
  const all: Options = { ...theirs }
  for (const name of changed(before, mine)) {
    if (name in mine) all[name] = mine[name]
    else delete all[name]
  }
  return all
}
