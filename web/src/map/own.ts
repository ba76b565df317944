// The page's own map: country, neighbours, provinces and, when zoomed in, districts. No tile host is asked.
import L from 'leaflet'
import { addGraticule } from '@/map/graticule'

interface Shape {
  name: string
  label?: [number, number]
  /** Rings of [longitude, latitude], WGS-84. */
  rings: [number, number][][]
}

interface DistrictFile {
  file: string
  bounds: [west: number, south: number, east: number, north: number]
}

/** From this zoom on the districts of the provinces in view are read and drawn. */
const DISTRICT_ZOOM = 7
/** From this zoom on districts carry their names, and provinces no longer do. */
const DISTRICT_NAMES = 9
const PROVINCE_NAMES = 4
/** Neighbouring districts differ a little, so that they read as areas. */
const GROUND = ['#15242f', '#182a38', '#132029']

async function read<T>(file: string): Promise<T> {
  const response = await fetch(`/map/${file}`)
  if (!response.ok) throw new Error(`base map ${file}: HTTP ${response.status}`)
  return (await response.json()) as T
}

const turned = (shape: Shape): L.LatLngExpression[][] => shape.rings.map((ring) => ring.map(([x, y]) => [y, x]))

function label(shape: Shape, className: string): L.Marker | null {
  if (!shape.label || !shape.name) return null
  const text = document.createElement('span')
  text.textContent = shape.name
  const icon = L.divIcon({ className, html: text, iconSize: [0, 0] })
  return L.marker([shape.label[1], shape.label[0]], { icon, interactive: false, keyboard: false })
}

const drop = (marker: L.Marker | null): marker is L.Marker => marker !== null

/** Adds the page's own map and keeps its detail in step with the view; resolves when the country is drawn. */
export async function addOwnMap(map: L.Map): Promise<void> {
  map.createPane('ground').style.zIndex = '200'
  map.createPane('names').style.zIndex = '350'
  const renderer = L.canvas({ pane: 'ground', padding: 0.4 })
  const style = { renderer, interactive: false, pane: 'ground' }

  const [land, provinces, districtFiles] = await Promise.all([
    read<{ country: Shape; neighbours: Shape[] }>('land.json'),
    read<Shape[]>('provinces.json'),
    read<DistrictFile[]>('districts.json'),
  ])
  for (const shape of land.neighbours) {
    L.polygon(turned(shape), { ...style, stroke: false, fillColor: '#0e161f', fillOpacity: 1 }).addTo(map)
  }
  L.polygon(turned(land.country), { ...style, color: '#4a7394', weight: 1.4, fillColor: '#13202c', fillOpacity: 1 }).addTo(map)
  for (const shape of provinces) {
    L.polygon(turned(shape), { ...style, color: '#3d617e', weight: 1.2, fillColor: '#14222e', fillOpacity: 1 }).addTo(map)
  }

  addGraticule(map)

  const provinceNames = L.layerGroup(provinces.map((shape) => label(shape, 'map-place province')).filter(drop))
  const districtLines = L.layerGroup()
  const districtNames = L.layerGroup()
  const asked = new Set<string>()

  async function addDistricts(file: string): Promise<void> {
    for (const [index, shape] of (await read<Shape[]>(`districts/${file}`)).entries()) {
      const fillColor = GROUND[index % GROUND.length]
      L.polygon(turned(shape), { ...style, color: '#375873', weight: 1, fillColor, fillOpacity: 1 }).addTo(districtLines)
      label(shape, 'map-place district')?.addTo(districtNames)
    }
  }

  function follow(): void {
    const zoom = map.getZoom()
    show(provinceNames, zoom >= PROVINCE_NAMES && zoom < DISTRICT_NAMES)
    show(districtLines, zoom >= DISTRICT_ZOOM)
    show(districtNames, zoom >= DISTRICT_NAMES)
    if (zoom < DISTRICT_ZOOM) return
    const view = map.getBounds()
    for (const { file, bounds } of districtFiles) {
      const [west, south, east, north] = bounds
      if (asked.has(file) || !view.intersects([[south, west], [north, east]])) continue
      asked.add(file)
      // Details that do not come leave the map as it is; the next move of the view asks again.
      addDistricts(file).catch(() => asked.delete(file))
    }
  }

  function show(layer: L.LayerGroup, wanted: boolean): void {
    if (wanted && !map.hasLayer(layer)) layer.addTo(map)
    else if (!wanted && map.hasLayer(layer)) layer.remove()
  }

  map.on('moveend', follow)
  follow()
}
