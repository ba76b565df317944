// How a value stands against its limit: what a card colours and how far a gauge is filled.
import type { Limit } from '@/api/types'

export type Standing = 'normal' | 'near' | 'over' | 'none'

/** Share of the upper limit from which a value counts as near it. */
const NEAR = 0.9

/** `none` where there is no value or no limit to compare with. */
export function standing(value: number | null | undefined, limit: Limit | undefined): Standing {
  if (value === null || value === undefined || !limit) return 'none'
  const above = limit.raise_above ?? null
  const below = limit.raise_below ?? null
  if (above === null && below === null) return 'none'
  if ((above !== null && value > above) || (below !== null && value < below)) return 'over'
  if (above !== null && above > 0 && value > above * NEAR) return 'near'
  return 'normal'
}

/** The number a gauge or a limit line shows; the upper limit wins where both exist. */
export function mainLimit(limit: Limit | undefined): number | null {
  return limit?.raise_above ?? limit?.raise_below ?? null
}

/** 0..1 of a gauge that ends a little above the limit, so that an excess still shows as one. */
export function gaugeShare(value: number | null | undefined, limit: number | null, maximum: number | null): number {
  if (value === null || value === undefined) return 0
  const end = limit !== null && limit > 0 ? limit * 1.25 : (maximum ?? 0)
  return end > 0 ? Math.min(1, Math.max(0, value / end)) : 0
}
