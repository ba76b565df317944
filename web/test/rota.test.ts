import { expect, it } from 'vitest'
import { changeFault, dutiesOf, kindOf, newChange, newShift, shiftFault, weekday, weekOf } from '@/live/rota'

const EVER = { first_day: null, last_day: null }
const ROTA = {
  shifts: [
    { person: 'li', weekdays: [1, 2, 3, 4, 5, 6, 7], starts: '18:00:00', ends: '06:00:00', ...EVER },
    { person: 'wang', weekdays: [1, 2, 3, 4, 5], starts: '06:00:00', ends: '18:00:00', first_day: '2026-08-04', last_day: '2026-08-06' },
  ],
  changes: [
    { day: '2026-08-05', person: 'wang', substitute: 'zhao', starts: null, ends: null, note: 'leave' },
    { day: '2026-08-06', person: 'li', substitute: null, starts: null, ends: null, note: '' },
    { day: '2026-08-06', person: null, substitute: 'zhao', starts: '08:00:00', ends: '12:00:00', note: '' },
  ],
}
const told = (day: string) => dutiesOf(ROTA, day).map(({ person, starts, ends }) => `${person} ${starts}-${ends}`)

it('takes Monday to Sunday, across the end of a month', () => {
  expect(weekOf('2026-08-01')).toEqual(['2026-07-27', '2026-07-28', '2026-07-29', '2026-07-30', '2026-07-31', '2026-08-01', '2026-08-02'])
  expect(weekOf('2026-08-03')[0]).toBe('2026-08-03')
  expect(weekday('2026-08-02')).toBe(7)
})

it('keeps the pattern, its first and last day, and what is different on a day', () => {
  expect(told('2026-08-03')).toEqual(['li 18:00-06:00'])
  expect(told('2026-08-04')).toEqual(['wang 06:00-18:00', 'li 18:00-06:00'])
  expect(dutiesOf(ROTA, '2026-08-05')[0]).toEqual({ person: 'zhao', starts: '06:00', ends: '18:00', instead: 'wang', note: 'leave' })
  expect(told('2026-08-06')).toEqual(['wang 06:00-18:00', 'zhao 08:00-12:00'])
  expect(told('2026-08-07')).toEqual(['li 18:00-06:00'])
})

it('says what keeps a shift from being kept', () => {
  const shift = { ...newShift(), person: 'li' }
  expect(shiftFault(shift)).toBeNull()
  expect(shiftFault(newShift())).toBe('person')
  expect(shiftFault({ ...shift, weekdays: [] })).toBe('days')
  expect(shiftFault({ ...shift, ends: '' })).toBe('hours')
  expect(shiftFault({ ...shift, first_day: '2026-08-02', last_day: '2026-08-01' })).toBe('term')
  expect(shiftFault({ ...shift, first_day: '2026-08-02', last_day: '2026-08-02' })).toBeNull()
  expect(newShift().weekdays).not.toBe(newShift().weekdays)
})

it('says what keeps a change from being kept', () => {
  const away = newChange('2026-08-01', 'away')
  expect(changeFault(away)).toBe('person')
  expect(changeFault({ ...away, person: 'li' })).toBeNull()
  expect(changeFault({ ...away, person: 'li', day: '' })).toBe('day')
  expect(changeFault({ ...newChange('2026-08-01', 'replaced'), person: 'li' })).toBe('person')
  const further = { ...newChange('2026-08-01', 'further'), substitute: 'li' }
  expect(changeFault(further)).toBeNull()
  expect(changeFault({ ...further, starts: '' })).toBe('hours')
  expect(['away', 'replaced', 'further']).toEqual([away, newChange('2026-08-01', 'replaced'), further].map(kindOf))
})
