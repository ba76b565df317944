// Which shifts begin on a day by a site's rota: its weekly pattern, and what is different on that day; and what of a rota
// that is being written cannot be kept.
import type { Rota } from '@/api/types'

/** A person's hours, `HH:MM` of the site's clock; one that ends at or before its start ends on the next day. */
export interface Duty {
  person: string
  starts: string
  ends: string
  /** Whose shift was taken over; null: their own, or a further one. */
  instead: string | null
  note: string
}

const DAY = 24 * 3600_000
const minutes = (clock: string): string => clock.slice(0, 5)

/** 1 Monday ... 7 Sunday. */
export const weekday = (day: string): number => ((new Date(`${day}T00:00Z`).getUTCDay() + 6) % 7) + 1

/** The days of the week, Monday to Sunday, in which a day lies. */
export function weekOf(day: string): string[] {
  const monday = Date.parse(`${day}T00:00Z`) - (weekday(day) - 1) * DAY
  return Array.from({ length: 7 }, (_, place) => new Date(monday + place * DAY).toISOString().slice(0, 10))
}

export function dutiesOf(rota: Pick<Rota, 'shifts' | 'changes'>, day: string): Duty[] {
  const changes = rota.changes.filter((change) => change.day === day)
  const duties: Duty[] = []
  for (const shift of rota.shifts) {
    const begun = shift.first_day === null || shift.first_day <= day
    const over = shift.last_day !== null && day > shift.last_day
    if (!shift.weekdays.includes(weekday(day)) || !begun || over) continue
    // The last word on a person's day counts, as it does for the messages.
    const change = changes.findLast((one) => one.person === shift.person)
    const person = change ? change.substitute : shift.person
    if (person === null) continue
    const hours = { starts: minutes(shift.starts), ends: minutes(shift.ends) }
    duties.push({ person, ...hours, instead: change ? shift.person : null, note: change?.note ?? '' })
  }
  for (const { person, substitute, starts, ends, note } of changes) {
    if (person !== null || !substitute || !starts || !ends) continue
    duties.push({ person: substitute, starts: minutes(starts), ends: minutes(ends), instead: null, note })
  }
  return duties.sort((a, b) => a.starts.localeCompare(b.starts) || a.person.localeCompare(b.person))
}

export type Shift = Rota['shifts'][number]
export type Change = Rota['changes'][number]
/** Somebody is away, is replaced, or is on duty besides. */
export type ChangeKind = 'away' | 'replaced' | 'further'
export type RotaFault = 'person' | 'days' | 'hours' | 'term' | 'day'

export const EVERY_DAY = [1, 2, 3, 4, 5, 6, 7]
const HOURS = /^\d\d:\d\d/
const DATE = /^\d{4}-\d\d-\d\d$/

export const newShift = (): Shift => ({ person: '', weekdays: [...EVERY_DAY], starts: '08:00', ends: '20:00', first_day: null, last_day: null })

export function newChange(day: string, kind: ChangeKind): Change {
  const hours = kind === 'further' ? { starts: '08:00', ends: '20:00' } : { starts: null, ends: null }
  return { day, person: kind === 'further' ? null : '', substitute: kind === 'away' ? null : '', ...hours, note: '' }
}

export const kindOf = (change: Change): ChangeKind =>
  change.person === null ? 'further' : change.substitute === null ? 'away' : 'replaced'

/** The first fault of a shift; null: it can be kept. */
export function shiftFault(shift: Shift): RotaFault | null {
  if (!shift.person) return 'person'
  if (!shift.weekdays.length) return 'days'
  if (!HOURS.test(shift.starts) || !HOURS.test(shift.ends)) return 'hours'
  return shift.first_day && shift.last_day && shift.last_day < shift.first_day ? 'term' : null
}

export function changeFault(change: Change): RotaFault | null {
  if (!DATE.test(change.day)) return 'day'
  if (change.person === '' || change.substitute === '') return 'person'
  const further = change.person === null
  return further && (!HOURS.test(change.starts ?? '') || !HOURS.test(change.ends ?? '')) ? 'hours' : null
}
