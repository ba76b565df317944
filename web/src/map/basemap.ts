// The map below the sites: the house's own tiles or PMTiles file where the settings name one, else the page's outlines.
import L from 'leaflet'
import { api } from '@/api'
import type { BaseMap, Language } from '@/api/types'
import { addOwnMap } from '@/map/own'

/** Own outlines say nothing more from here on. */
const OWN_DEEPEST = 16
/** Tiles are enlarged by so many zooms beyond their deepest. */
const ENLARGED = 2
const VECTOR_NAMES: Record<Language, string> = { zh: 'zh-Hans', en: 'en' }

/** Why another map than the settings' is drawn. */
export type BaseMapFault = NonNullable<BaseMap['fault']> | 'unreachable'

/** Draws the base map; the language may change later. `onFault` is called when the page's own map had to stand in. */
export async function addBaseMap(
  map: L.Map,
  language: Language,
  onFault: (fault: BaseMapFault) => void,
): Promise<(language: Language) => void> {
  const told = await api.baseMap()
  if (told.credit) L.control.attribution({ prefix: false, position: 'bottomright' }).addAttribution(escaped(told.credit)).addTo(map)
  if (told.fault) onFault(told.fault)
  if (told.kind === 'own') {
    map.setMaxZoom(OWN_DEEPEST)
    await addOwnMap(map)
    return () => undefined
  }
  map.setMaxZoom(told.deepest_zoom + ENLARGED)
  const standIn = async (): Promise<void> => {
    onFault('unreachable')
    await addOwnMap(map)
  }
  if (told.kind === 'tiles') {
    const tiles = L.tileLayer(told.url, { maxNativeZoom: told.deepest_zoom, maxZoom: told.deepest_zoom + ENLARGED, className: 'house-map' })
    let seen = false
    tiles.on('tileload', () => (seen = true))
    tiles.on('tileerror', () => {
      if (seen || !map.hasLayer(tiles)) return
      tiles.remove()
      void standIn()
    })
    tiles.addTo(map)
    return () => undefined
  }
  // Both packages look for Leaflet there.
  Object.assign(window, { L })
  const { PMTiles, leafletRasterLayer } = await import('pmtiles')
  const file = new PMTiles(new URL(told.url, location.href).href)
  try {
    await file.getHeader()
  } catch {
    await standIn()
    return () => undefined
  }
  if (told.kind === 'raster_file') {
    ;(leafletRasterLayer(file, { className: 'house-map', maxNativeZoom: told.deepest_zoom, maxZoom: told.deepest_zoom + ENLARGED }) as L.GridLayer).addTo(map)
    return () => undefined
  }
  const { leafletLayer } = await import('protomaps-leaflet')
  const drawn = (names: Language): L.GridLayer =>
    leafletLayer({ url: file, flavor: 'dark', lang: VECTOR_NAMES[names], maxDataZoom: told.deepest_zoom, attribution: '' }) as unknown as L.GridLayer
  let layer = drawn(language).addTo(map)
  return (names) => {
    layer.remove()
    layer = drawn(names).addTo(map)
  }
}

/** Leaflet takes attributions as HTML. */
function escaped(text: string): string {
  const holder = document.createElement('span')
  holder.textContent = text
  return holder.innerHTML
}
