// Pure merging of live messages into what the page holds. Entries are replaced, never changed in place, so that only
// the components that show a changed entry are drawn again.
import type { Alert, Camera, Device, LiveMessage, Site } from '@/api/types'

export interface World {
  sites: Map<number, Site>
  devices: Map<number, Device>
  cameras: Map<number, Camera>
  /** Open alerts and those closed since the page was opened. */
  alerts: Map<number, Alert>
}

/** Takes over one message; what belongs to entries that this page has not loaded is left out. */
export function merge(world: World, batch: LiveMessage): void {
  for (const change of batch.sites ?? []) patch(world.sites, change)
  for (const change of batch.devices ?? []) patch(world.devices, change)
  for (const change of batch.cameras ?? []) patch(world.cameras, change)
  for (const alert of batch.alerts ?? []) world.alerts.set(alert.id, alert)
  for (const { device_id, time, values } of batch.readings ?? []) {
    const device = world.devices.get(device_id)
    // A late reading (back-fill) is history: it must not take the place of a newer value on the screen.
    if (!device || (device.last_time !== null && time < device.last_time)) continue
    world.devices.set(device_id, { ...device, last_time: time, values: { ...device.values, ...values } })
  }
}

function patch<T extends { id: number }>(entries: Map<number, T>, change: Partial<T> & { id: number }): void {
  const entry = entries.get(change.id)
  if (entry) entries.set(change.id, { ...entry, ...change })
}

/** Makes the map hold exactly these entries; equal keys keep their place. */
export function replaceAll<T extends { id: number }>(entries: Map<number, T>, items: T[]): void {
  const wanted = new Set(items.map((item) => item.id))
  for (const id of [...entries.keys()]) if (!wanted.has(id)) entries.delete(id)
  for (const item of items) entries.set(item.id, item)
}

/** Lets the oldest closed alerts go beyond `most` entries: a page on a wall stays open for weeks. */
export function prune(alerts: Map<number, Alert>, most: number): void {
  if (alerts.size <= most) return
  const closed = [...alerts.values()].filter((alert) => !isOpen(alert)).sort(byNewest)
  const excess = alerts.size - most
  for (const alert of closed.slice(Math.max(0, closed.length - excess))) alerts.delete(alert.id)
}

export const isOpen = (alert: Alert): boolean => alert.cleared_at === null

/** Newest first. */
export const byNewest = (a: Alert, b: Alert): number => b.raised_at - a.raised_at || b.id - a.id

const STATE_WEIGHT = { red: 3, yellow: 2, grey: 1, green: 0 } as const

/** One number a site: open alerts weighed by severity, as the ranking sorts them. */
export function burden(site: Site): number {
  const open = site.open_alerts
  return open.critical * 1000 + open.major * 100 + open.warning * 10 + open.info
}

/** Worst first: state, then burden, then name, so that the order does not jump between equals. */
export const byState = (a: Site, b: Site): number =>
  STATE_WEIGHT[b.state] - STATE_WEIGHT[a.state] || burden(b) - burden(a) || a.code.localeCompare(b.code)
