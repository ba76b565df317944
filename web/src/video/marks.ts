// Marks on a picture, in the making: points are shares of the picture's width and height.
import type { Mark } from '@/api/types'

/** A stroke is thinned out while it is drawn: nobody sees steps finer than this share of the picture. */
const STEP = 0.004
const MOST = 500

export type Shape = Mark['shape']

export function begun(shape: Shape, at: [number, number]): Mark {
  return { shape, points: [at, at] }
}

/** The mark with the pen moved on to `at`. */
export function moved(mark: Mark, at: [number, number]): Mark {
  if (mark.shape !== 'stroke') return { ...mark, points: [mark.points[0]!, at] }
  const last = mark.points.at(-1)!
  if (Math.hypot(at[0] - last[0], at[1] - last[1]) < STEP || mark.points.length >= MOST) return mark
  return { ...mark, points: [...mark.points, at] }
}

/** Whether the mark is large enough to have been meant. */
export function meant(mark: Mark): boolean {
  const [x, y] = mark.points[0]!
  return mark.points.some(([a, b]) => Math.hypot(a - x, b - y) > 0.01)
}

/** Where a pointer is on an element, as shares that stay within it. */
export function placeOf(event: { clientX: number; clientY: number }, area: DOMRect): [number, number] {
  const within = (value: number) => Math.min(1, Math.max(0, value))
  return [within((event.clientX - area.left) / area.width), within((event.clientY - area.top) / area.height)]
}
