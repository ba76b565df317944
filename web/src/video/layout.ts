// Which cameras stand on the wall.
import type { Camera } from '@/api/types'
import { PERIODS, type Period } from '@/video/cycle'

export const SIZES = [1, 4, 9, 16] as const
export type Size = (typeof SIZES)[number]

export interface Choice {
  size: Size
  /** null: all sites. */
  site: number | null
  page: number
  boxes: boolean
  /** Seconds until the next page comes by itself; 0: never. */
  cycle: Period
}

const USUAL: Choice = { size: 4, site: null, page: 0, boxes: true, cycle: 0 }

/** The choice that was kept; whatever is no such choice is the usual one. */
export function read(text: string | null | undefined): Choice {
  let kept: unknown
  try {
    kept = JSON.parse(text ?? '{}')
  } catch {
    return USUAL
  }
  const { size, site, page, boxes, cycle } = (kept ?? {}) as Partial<Record<keyof Choice, unknown>>
  return {
    size: SIZES.find((one) => one === size) ?? USUAL.size,
    site: typeof site === 'number' ? site : null,
    page: typeof page === 'number' && page >= 0 ? Math.floor(page) : 0,
    boxes: boxes !== false,
    cycle: PERIODS.find((one) => one === cycle) ?? USUAL.cycle,
  }
}

/** The cameras of a page, in an order that no state changes: a camera keeps its place on the wall. */
export function chosen(cameras: Camera[], choice: Choice): { cameras: Camera[]; page: number; pages: number } {
  const all = cameras
    .filter((one) => one.state !== 'disabled' && (choice.site === null || one.site_id === choice.site))
    .sort((one, other) => one.site_id - other.site_id || one.code.localeCompare(other.code))
  const pages = Math.max(1, Math.ceil(all.length / choice.size))
  const page = Math.min(choice.page, pages - 1)
  return { cameras: all.slice(page * choice.size, (page + 1) * choice.size), page, pages }
}
