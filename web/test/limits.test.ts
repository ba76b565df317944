import { expect, it } from 'vitest'
import { gaugeShare, mainLimit, standing } from '@/format/limits'

it('tells a value over, near and within an upper limit', () => {
  const limit = { raise_above: 150 }
  expect(standing(150.1, limit)).toBe('over')
  expect(standing(150, limit)).toBe('near')
  expect(standing(120, limit)).toBe('normal')
})

it('knows lower limits', () => {
  const limit = { raise_above: null, raise_below: 10 }
  expect(standing(9, limit)).toBe('over')
  expect(standing(11, limit)).toBe('normal')
  expect(mainLimit(limit)).toBe(10)
})

it('says nothing where there is no value or no limit', () => {
  expect(standing(null, { raise_above: 1 })).toBe('none')
  expect(standing(5, undefined)).toBe('none')
  expect(standing(5, {})).toBe('none')
})

it('fills the gauge to four fifths at the limit', () => {
  expect(gaugeShare(150, 150, null)).toBeCloseTo(0.8)
  expect(gaugeShare(1000, 150, null)).toBe(1)
  expect(gaugeShare(-3, 150, null)).toBe(0)
  expect(gaugeShare(5, null, null)).toBe(0)
})
