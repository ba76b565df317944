// What may be set of sites, devices and cameras, in the order of the form.
import type { RegistryKind } from '@/api/types'

export type Input = 'text' | 'number' | 'switch' | 'choice' | 'words' | 'json' | 'site' | 'kind'

export interface FieldOf {
  name: string
  input: Input
  /** Must be there in something new. */
  needed?: boolean
  /** Is told once and stays. */
  fixed?: boolean
  choices?: string[]
}

const PLACE: FieldOf[] = [
  { name: 'latitude', input: 'number' },
  { name: 'longitude', input: 'number' },
]
const ENABLED: FieldOf = { name: 'enabled', input: 'switch' }
const NAMES: FieldOf[] = [
  { name: 'name', input: 'text', needed: true },
  { name: 'name_en', input: 'text' },
]
const KEY: FieldOf = { name: 'code', input: 'text', needed: true, fixed: true }
const SITE: FieldOf = { name: 'site', input: 'site', needed: true, fixed: true }

export const FIELDS: Record<RegistryKind, FieldOf[]> = {
  sites: [
    KEY,
    ...NAMES,
    { name: 'address', input: 'text' },
    { name: 'region_code', input: 'text' },
    ...PLACE,
    { name: 'time_zone', input: 'text' },
    { name: 'stage', input: 'text' },
    { name: 'area_m2', input: 'number' },
    { name: 'project_code', input: 'text' },
    { name: 'permit_number', input: 'text' },
    { name: 'supervision_number', input: 'text' },
    { name: 'vision_policy', input: 'choice', choices: ['review', 'auto_above', 'auto'] },
    { name: 'vision_auto_score', input: 'number' },
    ENABLED,
  ],
  devices: [
    SITE,
    KEY,
    { name: 'kind', input: 'kind', needed: true, fixed: true },
    ...NAMES,
    { name: 'interval_s', input: 'number' },
    { name: 'tags', input: 'words' },
    { name: 'gateway', input: 'text' },
    { name: 'mn', input: 'text' },
    { name: 'record_number', input: 'text' },
    { name: 'factory', input: 'text' },
    { name: 'clock_offset_ms', input: 'number' },
    ...PLACE,
    ENABLED,
  ],
  cameras: [SITE, KEY, ...NAMES, { name: 'url', input: 'text', needed: true }, { name: 'zone', input: 'text' }, { name: 'options', input: 'json' }, ...PLACE, ENABLED],
}

/** Fields in which nothing is null, not the empty text. */
const NULLABLE = new Set(['gateway', 'mn', 'latitude', 'longitude', 'area_m2'])

export type Shown = string | boolean

/** The value as the form shows it. */
export function shown(field: FieldOf, value: unknown): Shown {
  if (field.input === 'switch') return value !== false
  if (field.input === 'choice') return typeof value === 'string' ? value : (field.choices?.[0] ?? '')
  if (value === null || value === undefined) return ''
  if (field.input === 'words') return (value as string[]).join(' ')
  if (field.input === 'json') return Object.keys(value as object).length ? JSON.stringify(value, null, 2) : ''
  return String(value)
}

/** The value that is sent; undefined where the text makes none. */
export function sent(field: FieldOf, text: Shown): unknown {
  if (typeof text === 'boolean') return text
  const bare = text.trim()
  if (field.input === 'words') return bare ? bare.split(/\s+/) : []
  if (field.input === 'json') {
    if (!bare) return {}
    try {
      const value: unknown = JSON.parse(bare)
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
    } catch {
      return undefined
    }
  }
  if (!bare && NULLABLE.has(field.name)) return null
  if (field.input !== 'number') return bare
  return bare && Number.isFinite(Number(bare)) ? Number(bare) : undefined
}
