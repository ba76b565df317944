import { describe, expect, it } from 'vitest'
import { begun, meant, moved, placeOf } from '@/video/marks'

const AREA = { left: 100, top: 50, width: 400, height: 200 } as DOMRect

describe('marks on a picture', () => {
  it('places a pointer as shares of the picture, never outside of it', () => {
    expect(placeOf({ clientX: 300, clientY: 100 }, AREA)).toEqual([0.5, 0.25])
    expect(placeOf({ clientX: 0, clientY: 999 }, AREA)).toEqual([0, 1])
  })

  it('keeps two points of a box and an arrow, whatever the way', () => {
    for (const shape of ['box', 'arrow'] as const) {
      const mark = moved(moved(begun(shape, [0.1, 0.1]), [0.9, 0.9]), [0.5, 0.4])
      expect(mark.points).toEqual([[0.1, 0.1], [0.5, 0.4]])
    }
  })

  it('follows the pen of a stroke, thinned out and bounded', () => {
    let mark = begun('stroke', [0, 0])
    for (let step = 1; step <= 10_000; step += 1) mark = moved(mark, [step / 10_000, 0.5])
    expect(mark.points.length).toBeGreaterThan(100)
    expect(mark.points.length).toBeLessThanOrEqual(500)
  })

  it('leaves out what was a mere click', () => {
    expect(meant(begun('box', [0.3, 0.3]))).toBe(false)
    expect(meant(moved(begun('box', [0.3, 0.3]), [0.4, 0.3]))).toBe(true)
  })
})
