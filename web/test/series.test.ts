import { describe, expect, it } from 'vitest'
import { follow, panned, shifted, usualStep, valueRange, withGaps, zoomed, type Point } from '@/chart/series'

describe('gaps', () => {
  it('are where readings are missing for longer than usual', () => {
    const time = [0, 10, 20, 30, 90, 100]
    expect(withGaps({ time, value: [1, 2, 3, 4, 5, 6] }, null)).toEqual([
      [0, 1], [10, 2], [20, 3], [30, 4], [40, null], [90, 5], [100, 6],
    ])
  })

  it('are not made by one missing reading', () => {
    expect(withGaps({ time: [0, 10, 30, 40], value: [1, 2, 3, 4] }, null)).toHaveLength(4)
  })

  it('follow the width of roll-ups', () => {
    const points = withGaps({ time: [0, 60, 300], value: [1, 2, 3] }, 60)
    expect(points).toEqual([[0, 1], [60, 2], [120, null], [300, 3]])
  })

  it('keep values that are absent in the series', () => {
    expect(withGaps({ time: [0, 10, 20], value: [1, null, 3] }, null)).toEqual([[0, 1], [10, null], [20, 3]])
  })
})

it('the usual step is the median', () => {
  expect(usualStep([0, 1, 11, 21, 31, 900])).toBe(10)
  expect(usualStep([5])).toBeNaN()
})

describe('a live reading', () => {
  const drawn: Point[] = [[0, 1], [10, 2]]

  it('joins the line and pushes the oldest out', () => {
    expect(follow(drawn, 20, 3, 5, 10)).toEqual([[10, 2], [20, 3]])
  })

  it('comes after a gap where it is late', () => {
    expect(follow(drawn, 80, 3, 0, 10)).toEqual([[0, 1], [10, 2], [20, null], [80, 3]])
  })

  it('is taken once', () => expect(follow(drawn, 10, 9, 0, 10)).toBe(drawn))
})

describe('the value axis', () => {
  it('reaches the limit and keeps zero as its floor', () => {
    const [low, high] = valueRange([[0, 10], [1, 40]], [150]) ?? [NaN, NaN]
    expect(low).toBe(0)
    expect(high).toBeGreaterThan(150)
  })

  it('goes below zero where the values do, and has no range without values', () => {
    expect(valueRange([[0, -5], [1, 5]], [])?.[0]).toBeLessThan(-5)
    expect(valueRange([[0, null]], [150])).toBeNull()
  })
})

describe('spans', () => {
  const NOW = 1_000_000

  it('zooms around the middle and never shows what is still to come', () => {
    expect(zoomed([0, 400_000], 0.5, NOW)).toEqual([100_000, 300_000])
    expect(zoomed([600_000, NOW], 2, NOW)).toEqual([200_000, NOW])
  })

  it('moves by a part of its length, up to now', () => {
    expect(panned([400_000, 600_000], -0.5, NOW)).toEqual([300_000, 500_000])
    expect(panned([700_000, 900_000], 1, NOW)).toEqual([800_000, NOW])
    expect(panned([800_000, NOW], 0.5, NOW)).toEqual([800_000, NOW])
  })

  it('shifts a curve in time, its gaps as well', () => {
    expect(shifted([[1, 5], [2, null]], 10)).toEqual([[11, 5], [12, null]])
  })
})
