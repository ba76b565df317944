// Site markers: one element a site, changed in place, its shape and colour telling the state.
import L from 'leaflet'
import type { Site, SiteState } from '@/api/types'

const SHAPE: Record<SiteState, string> = {
  green: '<circle cx="16" cy="16" r="10"/><path class="sign" d="M11.5 16.4l3.2 3.1 6-6.2"/>',
  yellow: '<path d="M16 5.4 27.4 25.6H4.6z"/><path class="sign" d="M16 12.4v5.6M16 21.6v.2"/>',
  red: '<path d="M11.4 4.8h9.2l6.6 6.6v9.2l-6.6 6.6h-9.2l-6.6-6.6v-9.2z"/><path class="sign" d="M16 9.6v7.6M16 21.8v.3"/>',
  grey: '<rect class="hollow" x="7.5" y="7.5" width="17" height="17" rx="2.5"/><path class="line" d="M12 16h8"/>',
}

export interface MarkerWords {
  name: string
  state: string
  reason: string
}

function content(site: Site, words: MarkerWords): HTMLElement {
  const element = document.createElement('div')
  element.className = `site-marker ${site.state}`
  element.innerHTML = `<span class="halo"></span><svg viewBox="0 0 32 32" aria-hidden="true">${SHAPE[site.state]}</svg>`
  const text = document.createElement('span')
  text.className = 'site-name'
  const name = document.createElement('b')
  name.textContent = words.name
  text.append(name)
  if (words.reason && site.state !== 'green') {
    const reason = document.createElement('i')
    reason.textContent = words.reason
    text.append(' ', reason)
  }
  element.append(text)
  return element
}

const icon = (site: Site, words: MarkerWords): L.DivIcon =>
  L.divIcon({ className: 'site-icon', html: content(site, words), iconSize: [40, 40] })

/** The worst lie on top. */
const HEIGHT: Record<SiteState, number> = { red: 3000, yellow: 2000, grey: 1000, green: 0 }

/** Keeps the markers of a layer equal to the sites given; `open` is called with the site that was chosen. */
export class SiteMarkers {
  private readonly layer: L.LayerGroup
  private readonly open: (id: number) => void
  private readonly shown = new Map<number, { marker: L.Marker; face: string; place: string }>()

  constructor(layer: L.LayerGroup, open: (id: number) => void) {
    this.layer = layer
    this.open = open
  }

  update(sites: Site[], words: (site: Site) => MarkerWords): void {
    const seen = new Set<number>()
    for (const site of sites) {
      if (site.latitude === null || site.longitude === null) continue
      seen.add(site.id)
      const text = words(site)
      const face = [site.state, text.name, text.state, text.reason].join('\n')
      const place = `${site.latitude},${site.longitude}`
      const entry = this.shown.get(site.id)
      if (entry?.face === face && entry.place === place) continue
      const marker = entry?.marker ?? this.add(site, text)
      if (entry && entry.place !== place) marker.setLatLng([site.latitude, site.longitude])
      if (entry && entry.face !== face) marker.setIcon(icon(site, text)).setZIndexOffset(HEIGHT[site.state])
      if (entry?.face !== face) this.label(marker, site, text)
      this.shown.set(site.id, { marker, face, place })
    }
    for (const [id, { marker }] of this.shown) {
      if (seen.has(id)) continue
      marker.remove()
      this.shown.delete(id)
    }
  }

  private add(site: Site, words: MarkerWords): L.Marker {
    const options = { icon: icon(site, words), zIndexOffset: HEIGHT[site.state], keyboard: true, riseOnHover: true }
    const marker = L.marker([site.latitude ?? 0, site.longitude ?? 0], options)
    marker.on('click', () => this.open(site.id))
    // Leaflet makes the element a button for the keyboard but answers only to clicks.
    marker.on('keypress', (event) => {
      if (event.originalEvent.key === 'Enter') this.open(site.id)
    })
    return marker.addTo(this.layer)
  }

  private label(marker: L.Marker, site: Site, words: MarkerWords): void {
    const element = marker.getElement()
    element?.setAttribute('aria-label', [words.name, site.state === 'green' ? '' : words.reason, words.state].filter(Boolean).join(' '))
    element?.setAttribute('data-site', String(site.id))
  }
}
