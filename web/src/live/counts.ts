// The figures of the big picture, added up from the sites that the person may see.
import type { Availability, Severity, Site, SiteState } from '@/api/types'

export interface Totals {
  sites: Record<SiteState, number>
  devices: Availability
  cameras: Availability
  alerts: Record<Severity, number>
}

export function totalsOf(sites: Iterable<Site>): Totals {
  const totals: Totals = {
    sites: { red: 0, yellow: 0, green: 0, grey: 0 },
    devices: { total: 0, online: 0 },
    cameras: { total: 0, online: 0 },
    alerts: { info: 0, warning: 0, major: 0, critical: 0 },
  }
  for (const site of sites) {
    totals.sites[site.state] += 1
    for (const part of ['devices', 'cameras'] as const) {
      totals[part].total += site[part].total
      totals[part].online += site[part].online
    }
    for (const severity of ['info', 'warning', 'major', 'critical'] as const) {
      totals.alerts[severity] += site.open_alerts[severity] ?? 0
    }
  }
  return totals
}

export const sum = (record: Record<string, number>): number => Object.values(record).reduce((a, b) => a + b, 0)
