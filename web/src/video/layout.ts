// Which cameras stand on the wall.
import type { Camera } from '@/api/types'
import { PERIODS, type Period } from '@/video/cycle'

export const SIZES = [1, 4, 9, 16] as const
export type Size = (typeof SIZES)[number]

export interface Choice {
  size: Size
  /** null: all sites. */
  site: number | null
  /** The wall shows `cameras`, not those of sites; they are kept while it does not. */
  single: boolean
  /** Ids in the viewer's order, none twice. */
  cameras: number[]
  page: number
  boxes: boolean
  /** Seconds until the next page comes by itself; 0: never. */
  cycle: Period
}

const USUAL: Choice = { size: 4, site: null, single: false, cameras: [], page: 0, boxes: true, cycle: 0 }
/** Nobody turns more pages; an address has room for so many. */
export const MOST = 200

/** The choice that was kept; whatever is no such choice is the usual one. */
export function read(text: string | null | undefined): Choice {
  let kept: unknown
  try {
    kept = JSON.parse(text ?? '{}')
  } catch {
    return USUAL
  }
  const { size, site, single, cameras, page, boxes, cycle } = (kept ?? {}) as Partial<Record<keyof Choice, unknown>>
  return {
    size: SIZES.find((one) => one === size) ?? USUAL.size,
    site: typeof site === 'number' ? site : null,
    single: single === true,
    cameras: ids(Array.isArray(cameras) ? cameras : []),
    page: typeof page === 'number' && page >= 0 ? Math.floor(page) : 0,
    boxes: boxes !== false,
    cycle: PERIODS.find((one) => one === cycle) ?? USUAL.cycle,
  }
}

/** What is an id, once each. */
function ids(found: unknown[]): number[] {
  const whole = found.filter((one): one is number => typeof one === 'number' && Number.isSafeInteger(one) && one > 0)
  return [...new Set(whole)].slice(0, MOST)
}

/** What of a choice stands in the address, for whoever it is given to. */
export function queryOf({ size, site, single, cameras }: Choice): Record<string, string> {
  const which: Record<string, string> = single ? { cameras: cameras.join(',') } : site === null ? {} : { site: String(site) }
  return { ...which, size: String(size) }
}

/** The choice with what an address says; one that says nothing leaves it as it is. */
export function asked(query: Record<string, unknown>, choice: Choice): Choice {
  const size = SIZES.find((one) => String(one) === query.size)
  const given: Partial<Choice> = {}
  if (typeof query.cameras === 'string') Object.assign(given, { single: true, cameras: ids(query.cameras.split(',').map(Number)) })
  else if (typeof query.site === 'string' && /^[1-9]\d*$/.test(query.site)) Object.assign(given, { single: false, site: Number(query.site) })
  else if (size) Object.assign(given, { single: false, site: null })
  else return choice
  return { ...choice, page: 0, ...given, size: size ?? choice.size }
}

/** The cameras of a page, in an order that no state changes: a camera keeps its place on the wall. `missing`: chosen, but not there. */
export function chosen(cameras: Camera[], choice: Choice): { cameras: Camera[]; page: number; pages: number; missing: number } {
  const on = cameras.filter((one) => one.state !== 'disabled')
  const known = new Map(on.map((one) => [one.id, one]))
  const all = choice.single
    ? choice.cameras.flatMap((id) => known.get(id) ?? [])
    : on
        .filter((one) => choice.site === null || one.site_id === choice.site)
        .sort((one, other) => one.site_id - other.site_id || one.code.localeCompare(other.code))
  const pages = Math.max(1, Math.ceil(all.length / choice.size))
  const page = Math.min(choice.page, pages - 1)
  const missing = choice.single ? choice.cameras.length - all.length : 0
  return { cameras: all.slice(page * choice.size, (page + 1) * choice.size), page, pages, missing }
}
