// Polygons of a camera's picture: corners are shares of it. What the server refuses is told before it is sent.
export type ZoneUse = 'include' | 'exclude' | 'forbidden' | 'post'
export type Corner = [x: number, y: number]

export interface Zone {
  name: string
  use: ZoneUse
  polygon: Corner[]
  absent_s?: number
}

export const USES: readonly ZoneUse[] = ['include', 'exclude', 'forbidden', 'post']
export const MOST_CORNERS = 64
export const ABSENT_S = 300
const LEAST_AREA = 0.0001

export type ZoneFault = { code: 'name' | 'outside' | 'twice' | 'area' | 'absent' } | { code: 'crosses'; first: number; second: number }

const same = (a: Corner, b: Corner): boolean => a[0] === b[0] && a[1] === b[1]
const turn = (a: Corner, b: Corner, c: Corner): number => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
const between = (a: number, value: number, b: number): boolean => Math.min(a, b) <= value && value <= Math.max(a, b)
const on = (a: Corner, b: Corner, point: Corner): boolean =>
  turn(a, b, point) === 0 && between(a[0], point[0], b[0]) && between(a[1], point[1], b[1])

/** Whether ab and cd have a point in common; touching counts. */
function cross(a: Corner, b: Corner, c: Corner, d: Corner): boolean {
  if (turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0) return true
  return on(a, b, c) || on(a, b, d) || on(c, d, a) || on(c, d, b)
}

const area = (polygon: Corner[]): number =>
  polygon.reduce((sum, [x, y], at) => {
    const [before, above] = polygon.at(at - 1) ?? [0, 0]
    return sum + before * y - x * above
  }, 0) / 2

/** The first two sides that meet elsewhere than in a corner of both; a side is named by the corner that it leads to. */
function crossing(polygon: Corner[]): { first: number; second: number } | null {
  const sides = polygon.map((corner, at): [Corner, Corner] => [polygon.at(at - 1) ?? corner, corner])
  for (const [at, [a, b]] of sides.entries()) {
    for (const [beyond, [c, d]] of sides.slice(at + 1).entries()) {
      const ends = [c, d].filter((end) => !same(end, a) && !same(end, b))
      const starts = [a, b].filter((end) => !same(end, c) && !same(end, d))
      const meets = ends.length < 2 ? ends.some((end) => on(a, b, end)) || starts.some((end) => on(c, d, end)) : cross(a, b, c, d)
      if (meets) return { first: at + 1, second: at + beyond + 2 }
    }
  }
  return null
}

/** What is wrong with a zone, by the rules of the server (core.settings.zones); null: nothing. */
export function faultOf(zone: Zone): ZoneFault | null {
  const { polygon } = zone
  if (!zone.name.trim() || zone.name.trim().length > 40) return { code: 'name' }
  if (polygon.some((corner) => corner.some((part) => !(part >= 0 && part <= 1)))) return { code: 'outside' }
  if (polygon.some((corner, at) => polygon.slice(at + 1).some((other) => same(corner, other)))) return { code: 'twice' }
  const found = crossing(polygon)
  if (found) return { code: 'crosses', ...found }
  if (polygon.length < 3 || Math.abs(area(polygon)) < LEAST_AREA) return { code: 'area' }
  if (zone.use === 'post' && !((zone.absent_s ?? ABSENT_S) >= 5 && (zone.absent_s ?? ABSENT_S) <= 86_400)) return { code: 'absent' }
  return null
}

/** A share of the picture, to a tenth of a thousandth, so that it reads well in the options. */
export const share = (value: number): number => Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4

export const middle = ([a, b]: Corner, [c, d]: Corner): Corner => [share((a + c) / 2), share((b + d) / 2)]

/** A rectangle to begin with. */
export const newZone = (name: string): Zone => ({
  name,
  use: 'include',
  polygon: [
    [0.3, 0.3],
    [0.7, 0.3],
    [0.7, 0.7],
    [0.3, 0.7],
  ],
})

/** Zones as options hold them; what is not said there has its default. */
export const zonesOf = (options: unknown): Zone[] => {
  const zones = (options as { zones?: Partial<Zone>[] } | undefined)?.zones ?? []
  return zones.map((one) => ({
    ...one,
    name: one.name ?? '',
    use: one.use ?? 'include',
    polygon: (one.polygon ?? []).map(([x, y]): Corner => [x, y]),
  }))
}

/** Zones as they are sent: only posts have a time of absence. */
export const sentZones = (zones: Zone[]): Zone[] =>
  zones.map(({ name, use, polygon, absent_s }) => ({ name: name.trim(), use, polygon, ...(use === 'post' ? { absent_s: absent_s ?? ABSENT_S } : {}) }))
