// Turns the API's series into what a chart draws: gaps stay gaps, and the axis reaches the limit.
import type { Series } from '@/api/types'

export type Point = [time: number, value: number | null]

/** A hole this many times the usual step is a gap: one missing reading is drawn over, a silence is not. */
const GAP_STEPS = 2.5

/** Usual time between neighbours: the median, which bursts and gaps do not move. NaN below two points. */
export function usualStep(time: number[]): number {
  const steps = time.slice(1).map((at, i) => at - (time[i] ?? at))
  if (steps.length === 0) return NaN
  steps.sort((a, b) => a - b)
  return steps[Math.floor(steps.length / 2)] ?? NaN
}

/** Points with a null put into every gap; `bucket` is the roll-up's width in ms, 0 or null for raw readings. */
export function withGaps(series: Series, bucket: number | null): Point[] {
  const { time, value } = series
  const step = bucket && bucket > 0 ? bucket : usualStep(time)
  const points: Point[] = []
  for (let i = 0; i < time.length; i++) {
    const at = time[i]
    const before = time[i - 1]
    if (at === undefined) continue
    if (before !== undefined && at - before > step * GAP_STEPS) points.push([before + step, null])
    points.push([at, value[i] ?? null])
  }
  return points
}

/** Joins a live reading to a drawn line; what is older than the span leaves at the left. */
export function follow(points: Point[], at: number, value: number | null, start: number, step: number): Point[] {
  const last = points.at(-1)
  if (last && at <= last[0]) return points
  const kept = points.filter(([time]) => time >= start)
  if (last && Number.isFinite(step) && at - last[0] > step * GAP_STEPS) kept.push([last[0] + step, null])
  kept.push([at, value])
  return kept
}

/** Bounds of the value axis: all points and the limits, with air around them; null where there is nothing to show. */
export function valueRange(points: Point[], limits: number[]): [low: number, high: number] | null {
  const values = points.flatMap(([, value]) => (value === null ? [] : [value]))
  if (values.length === 0) return null
  const low = Math.min(...values, ...limits)
  const high = Math.max(...values, ...limits)
  const air = (high - low || Math.abs(high) || 1) * 0.12
  // A quantity that is never negative keeps its zero line.
  return [low >= 0 ? Math.max(0, low - air) : low - air, high + air]
}

/** Points as they would be `by` ms later. */
export const shifted = (points: Point[], by: number): Point[] => points.map(([at, value]) => [at + by, value])

/** A span of time around the same middle, `factor` times as long, that never ends after `now`. */
export function zoomed([from, to]: [number, number], factor: number, now: number): [number, number] {
  const half = ((to - from) * factor) / 2
  const end = Math.min(now, (from + to) / 2 + half)
  return [end - 2 * half, end]
}

/** The span moved by a part of its length; it never ends after `now`. */
export function panned([from, to]: [number, number], by: number, now: number): [number, number] {
  const move = Math.min(by * (to - from), now - to)
  return [from + move, to + move]
}
