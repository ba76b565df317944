import { describe, expect, it } from 'vitest'
import type { Channel } from '@/api/types'
import { formatBytes, formatCount, formatLargeCount, formatNumber, formatReading, formatValue, unitSign } from '@/format/units'

const channel = (change: Partial<Channel>): Channel => ({
  name: 'x', label: 'x', label_en: 'x', unit: '', type: 'real', minimum: null, maximum: null, ...change,
})

describe('numbers with units', () => {
  it('gives each unit its digits', () => {
    expect(formatValue(152.34, 'µg/m³')).toBe('152\u202fµg/m³')
    expect(formatValue(63.25, 'dB(A)')).toBe('63.3\u202fdB(A)')
    expect(formatValue(3.4, 't')).toBe('3.40\u202ft')
    expect(formatValue(71.5, '%')).toBe('72%')
    expect(formatValue(127, 'degrees')).toBe('127.0°')
  })

  it('shows both micro signs as one', () => {
    expect(unitSign('\u03bcg/m³')).toBe('\u00b5g/m³')
    expect(formatNumber(152.34, '\u03bcg/m³')).toBe('152')
  })

  it('never shows an absent value as zero, nor a negative zero', () => {
    for (const absent of [null, undefined, NaN]) expect(formatValue(absent, 'm')).toBe('–')
    expect(formatNumber(-0.04, '°C')).toBe('0.0')
  })

  it('groups counters, and shortens what has grown large', () => {
    expect(formatCount(1284031)).toBe('1,284,031')
    expect(formatLargeCount(999_999, 'zh')).toBe('999,999')
    expect(formatLargeCount(1_284_031, 'zh')).toBe('128.4万')
    expect(formatLargeCount(1_284_031, 'en')).toBe('1.284M')
    expect(formatLargeCount(null, 'en')).toBe('–')
  })
})

describe('readings of a channel', () => {
  const door = channel({
    type: 'enum',
    symbols: [
      { name: 'closed', label: '关闭', label_en: 'Closed' },
      { name: 'open', label: '打开', label_en: '' },
    ],
  })

  it('shows the word of an enumeration', () => {
    expect(formatReading(0, door, 'zh')).toBe('关闭')
    expect(formatReading(0, door, 'en')).toBe('Closed')
  })

  it('falls back to the name, and to the number of an unknown state', () => {
    expect(formatReading(1, door, 'en')).toBe('open')
    expect(formatReading(7, door, 'zh')).toBe('7')
  })

  it('shows counts as whole numbers', () => expect(formatReading(12, channel({ type: 'bigint' }), 'zh')).toBe('12'))
})

describe('the size of a file', () => {
  it('is told as limits are', () => {
    expect([0, 999, 1024, 1500, 1024 * 1024, 52_428_800, 1_572_864].map(formatBytes)).toEqual(['0 B', '999 B', '1 kB', '2 kB', '1.0 MB', '50 MB', '1.5 MB'])
  })
})
