// The text of one rule: what of it can be set without knowing TOML, and how two texts differ.
import { diffLines } from 'diff'

/** Keys that a person changes most, in the order of their fields, with what their values look like. */
const KEYS: Record<string, 'number' | 'duration' | 'severity' | 'switch'> = {
  enabled: 'switch',
  severity: 'severity',
  raise_above: 'number',
  clear_below: 'number',
  raise_below: 'number',
  clear_above: 'number',
  duration: 'duration',
  clear_after: 'duration',
  after: 'duration',
  cool_down: 'duration',
}

export interface Setting {
  key: string
  input: 'number' | 'duration' | 'severity' | 'switch'
  /** As it is written, without quotation marks. */
  value: string
}

const HEADER = /^\s*\[\[\s*rules\s*\]\]\s*(#.*)?$/
const LINE = /^(\s*)([a-z_]+)(\s*=\s*)("[^"\\]*"|[^\s"'#[{]+)(\s*(?:#.*)?)$/

/** The lines between the rule's header and the first table or list below it; null where it is not written so plainly. */
function ownLines(lines: string[]): [number, number] | null {
  const first = lines.findIndex((line) => HEADER.test(line))
  if (first < 0 || lines.slice(first + 1).some((line) => HEADER.test(line))) return null
  const last = lines.findIndex((line, place) => place > first && /^\s*\[/.test(line))
  return [first + 1, last < 0 ? lines.length : last]
}

/** Settings that stand on a line of their own; nothing where the text is written in another form. */
export function settingsOf(text: string): Setting[] {
  const lines = text.split('\n')
  const own = ownLines(lines)
  if (!own) return []
  const found = new Map<string, Setting>()
  for (const line of lines.slice(...own)) {
    const [, , key, , value] = LINE.exec(line) ?? []
    if (key && value && KEYS[key]) found.set(key, { key, input: KEYS[key], value: value.replace(/^"|"$/g, '') })
  }
  if (!found.has('enabled')) found.set('enabled', { key: 'enabled', input: 'switch', value: 'true' })
  return Object.keys(KEYS).flatMap((key) => found.get(key) ?? [])
}

/** The text with one setting changed, comments and order left as they are. */
export function withSetting(text: string, key: string, value: string): string {
  const lines = text.split('\n')
  const own = ownLines(lines)
  const input = KEYS[key]
  if (!own || !input) return text
  const written = input === 'duration' || input === 'severity' ? `"${value.replace(/["\\]/g, '')}"` : value
  for (let place = own[0]; place < own[1]; place += 1) {
    const [, indent, name, equals, , rest] = LINE.exec(lines[place] ?? '') ?? []
    if (name !== key) continue
    lines[place] = `${indent}${name}${equals}${written}${rest}`
    return lines.join('\n')
  }
  // Behind the last line of the rule that says something.
  let end = own[1]
  while (end > own[0] && !lines[end - 1]?.trim()) end -= 1
  lines.splice(end, 0, `${key} = ${written}`)
  return lines.join('\n')
}

export interface DiffLine {
  sort: 'same' | 'gone' | 'new'
  text: string
}

/** What became of the lines of `old`. */
export function compared(old: string, now: string): DiffLine[] {
  return diffLines(old, now).flatMap((part) =>
    part.value
      .replace(/\n$/, '')
      .split('\n')
      .map((text): DiffLine => ({ sort: part.added ? 'new' : part.removed ? 'gone' : 'same', text })),
  )
}

/** A rule to begin with. */
export const blank = (id: string): string => `[[rules]]
id = "${id}"
name = "PM10 > 150 µg/m³"
name_en = "PM10 > 150 µg/m³"
kind = "threshold"
severity = "major"
scope = { device_kind = "dust" }
metric = "pm10"
unit = "µg/m³"
raise_above = 150
clear_below = 120
clear_after = "2 min"
`

/** The id that the text gives its rule; empty where it has none. */
export const idOf = (text: string): string => /^\s*id\s*=\s*"([^"]*)"/m.exec(text)?.[1] ?? ''
