import { expect, it } from 'vitest'
import { clockText, formatTime, momentOf, splitDuration } from '@/format/time'

const AT = Date.UTC(2026, 7, 1, 16, 5, 9)

it("shows a moment in the site's zone, whatever the browser's is", () => {
  expect(formatTime(AT, 'time', 'Asia/Shanghai', 'zh')).toBe('00:05:09')
  expect(formatTime(AT, 'time', 'Asia/Urumqi', 'zh')).toBe('22:05:09')
  expect(formatTime(AT, 'full', 'Asia/Shanghai', 'en')).toContain('02/08/2026')
})

it('shows a dash for no moment and a zone it does not know as Beijing time', () => {
  expect(formatTime(null, 'time', 'Asia/Shanghai', 'zh')).toBe('–')
  expect(formatTime(AT, 'minute', 'Mars/Olympus', 'zh')).toBe('00:05')
})

it('splits a duration into its two largest units', () => {
  expect(splitDuration(-5)).toEqual({ unit: 'second', count: 0, rest: 0 })
  expect(splitDuration(59_999)).toEqual({ unit: 'second', count: 59, rest: 0 })
  expect(splitDuration(125_000)).toEqual({ unit: 'minute', count: 2, rest: 5 })
  expect(splitDuration(7_380_000)).toEqual({ unit: 'hour', count: 2, rest: 3 })
  expect(splitDuration(90_000_000)).toEqual({ unit: 'day', count: 1, rest: 1 })
})

it("reads and writes a site's clock, also around a change of the clock", () => {
  expect(clockText(AT, 'Asia/Shanghai')).toBe('2026-08-02T00:05')
  expect(momentOf('2026-08-02T00:05', 'Asia/Shanghai')).toBe(Date.UTC(2026, 7, 1, 16, 5))
  expect(momentOf('', 'Asia/Shanghai')).toBeNull()
  for (const hour of [0, 1, 3, 4, 23]) {
    const text = `2026-03-29T${String(hour).padStart(2, '0')}:30`
    expect(clockText(momentOf(text, 'Europe/Berlin'), 'Europe/Berlin')).toBe(text)
  }
})
