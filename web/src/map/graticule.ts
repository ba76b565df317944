// Lines of latitude and longitude with their degrees: what gives an empty stretch of map its scale and place.
import L from 'leaflet'

/** Degrees between two lines that are about this many pixels apart. */
const SPACING = 220
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20]

export function stepFor(degreesPerPixel: number): number {
  return STEPS.find((step) => step / degreesPerPixel >= SPACING) ?? 20
}

/** Multiples of `step` between two bounds, without the dust of floating point. */
export function linesBetween(low: number, high: number, step: number): number[] {
  const lines: number[] = []
  for (let i = Math.ceil(low / step); i * step <= high; i++) lines.push(Number((i * step).toFixed(4)))
  return lines
}

function mark(place: L.LatLngExpression, text: string, className: string): L.Marker {
  const icon = L.divIcon({ className: `degree ${className}`, html: `<span>${text}</span>`, iconSize: [0, 0] })
  return L.marker(place, { icon, interactive: false, keyboard: false })
}

/** Draws the lines again after every move of the view. */
export function addGraticule(map: L.Map): void {
  const layer = L.layerGroup().addTo(map)
  const style = { color: '#22384a', weight: 0.7, dashArray: '2 5', interactive: false, renderer: L.canvas({ pane: 'ground' }), pane: 'ground' }

  function draw(): void {
    layer.clearLayers()
    const view = map.getBounds()
    const step = stepFor((view.getEast() - view.getWest()) / map.getSize().x)
    const wide = view.pad(0.2)
    for (const lon of linesBetween(wide.getWest(), wide.getEast(), step)) {
      L.polyline([[wide.getSouth(), lon], [wide.getNorth(), lon]], style).addTo(layer)
      mark([view.getNorth(), lon], `${lon}°E`, 'meridian').addTo(layer)
    }
    for (const lat of linesBetween(Math.max(-85, wide.getSouth()), Math.min(85, wide.getNorth()), step)) {
      L.polyline([[lat, wide.getWest()], [lat, wide.getEast()]], style).addTo(layer)
      mark([lat, view.getWest()], `${lat}°N`, 'parallel').addTo(layer)
    }
  }

  map.on('moveend resize', draw)
  draw()
}
