// Makes the page's own base map from two npm packages, so that no tile host is ever asked:
//   public/map/land.json       outlines of the country (with every island and the dashed line) and of its neighbours
//   public/map/provinces.json  province polygons with label points
//   public/map/districts.json  bounds of districts/*.json: prefectures (districts in municipalities), drawn when zoomed in
// The files are what an operator replaces with approved maps of his own; docs/web.md describes the form.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const out = join(dirname(fileURLToPath(import.meta.url)), '..', 'public', 'map')
const packed = join(dirname(require.resolve('echarts-provinces/package.json')), 'map', 'json')

/** Decodes the zig-zag delta coding of the province files: text and the offset of its first point -> [lon, lat] list. */
function decodeRing(text, offset) {
  const ring = []
  let [x, y] = offset
  for (let i = 0; i < text.length; i += 2) {
    const dx = text.charCodeAt(i) - 64
    const dy = text.charCodeAt(i + 1) - 64
    x += (dx >> 1) ^ -(dx & 1)
    y += (dy >> 1) ^ -(dy & 1)
    ring.push([x / 1024, y / 1024])
  }
  return ring
}

/** All rings of a feature, as plain lists of [lon, lat]: holes are drawn as lines too, which is what a base map wants. */
function rings(feature, encoded) {
  const { type, coordinates, encodeOffsets } = feature.geometry
  const polygons = type === 'Polygon' ? [coordinates] : coordinates
  const offsets = type === 'Polygon' ? [encodeOffsets] : encodeOffsets
  return polygons.flatMap((polygon, p) =>
    polygon.map((ring, r) => (encoded && typeof ring === 'string' ? decodeRing(ring, offsets[p][r]) : ring)),
  )
}

/** Douglas-Peucker on an open list of points; tolerance in degrees. */
function thin(points, tolerance) {
  if (points.length < 5) return points
  const keep = new Uint8Array(points.length)
  keep[0] = keep[points.length - 1] = 1
  // The far point splits a closed ring, whose ends coincide, into two lines with a direction.
  const stack = [[0, points.length - 1]]
  while (stack.length) {
    const [from, to] = stack.pop()
    const [ax, ay] = points[from]
    const dx = points[to][0] - ax
    const dy = points[to][1] - ay
    const length = Math.hypot(dx, dy)
    let worst = 0
    let at = -1
    for (let i = from + 1; i < to; i++) {
      const px = points[i][0] - ax
      const py = points[i][1] - ay
      const distance = length === 0 ? Math.hypot(px, py) : Math.abs(px * dy - py * dx) / length
      if (distance > worst) [worst, at] = [distance, i]
    }
    if (worst > tolerance) {
      keep[at] = 1
      stack.push([from, at], [at, to])
    }
  }
  return points.filter((_, i) => keep[i])
}

const rounded = (ring, digits) => ring.map(([x, y]) => [+x.toFixed(digits), +y.toFixed(digits)])

function shape(feature, { encoded, tolerance, digits }) {
  const thinned = rings(feature, encoded).map((ring) => rounded(thin(ring, tolerance), digits))
  return { name: feature.properties.name, label: feature.properties.cp, rings: thinned.filter((r) => r.length > 2) }
}

function write(name, value) {
  writeFileSync(join(out, name), JSON.stringify(value))
}

mkdirSync(join(out, 'districts'), { recursive: true })

const world = require('@surbowl/world-geo-json-zh').features
const nearby = (feature) =>
  rings(feature, false).some((ring) => ring.some(([x, y]) => x > 55 && x < 155 && y > -12 && y < 62))
const land = { encoded: false, tolerance: 0.02, digits: 2 }
const country = world.find((feature) => feature.properties.iso_a2 === 'CN')
write('land.json', {
  country: shape(country, { ...land, tolerance: 0 }),
  neighbours: world.filter((f) => f !== country && nearby(f)).map((f) => shape(f, land)),
})

const provinces = JSON.parse(readFileSync(join(packed, 'china.json'), 'utf8')).features
write('provinces.json', provinces.map((f) => shape(f, { encoded: true, tolerance: 0.004, digits: 3 })))

// Districts are one file a province, loaded when the view comes near its bounds [west, south, east, north].
const index = readdirSync(join(packed, 'province'))
  .sort()
  .map((file) => {
    const { features } = JSON.parse(readFileSync(join(packed, 'province', file), 'utf8'))
    const shapes = features.map((f) => shape(f, { encoded: true, tolerance: 0.004, digits: 3 }))
    write(join('districts', file), shapes)
    const points = shapes.flatMap((s) => s.rings.flat())
    const low = (axis) => points.reduce((least, point) => Math.min(least, point[axis]), Infinity)
    const high = (axis) => points.reduce((most, point) => Math.max(most, point[axis]), -Infinity)
    return { file, bounds: [low(0), low(1), high(0), high(1)] }
  })
write('districts.json', index)
