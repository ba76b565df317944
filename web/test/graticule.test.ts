import { expect, it, vi } from 'vitest'

// Leaflet asks for a window when it is loaded; the arithmetic here needs none.
vi.mock('leaflet', () => ({ default: {} }))
const { linesBetween, stepFor } = await import('@/map/graticule')

it('keeps lines apart at every scale', () => {
  expect(stepFor(0.0001)).toBe(0.05)
  expect(stepFor(0.05)).toBe(20)
  expect(stepFor(9)).toBe(20)
})

it('lists round degrees', () => {
  expect(linesBetween(119.95, 120.32, 0.1)).toEqual([120, 120.1, 120.2, 120.3])
  expect(linesBetween(-1, 1, 1)).toEqual([-1, 0, 1])
})
