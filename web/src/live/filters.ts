// The filters of the alerts page: their place in the address, and which live alerts pass them.
import type { Alert, Severity } from '@/api/types'
import { isOpen } from '@/live/merge'

export interface AlertFilter {
  state: 'open' | 'all'
  site: number | null
  severity: Severity | ''
}

type Query = Record<string, string | null | (string | null)[] | undefined>

const SEVERITIES: readonly string[] = ['info', 'warning', 'major', 'critical']

const one = (query: Query, name: string): string => {
  const value = query[name]
  return (Array.isArray(value) ? value[0] : value) ?? ''
}

/** Reads the filter from an address; what makes no sense there is left at its default. */
export function filterOf(query: Query): AlertFilter {
  const site = Number(one(query, 'site'))
  const severity = one(query, 'severity')
  return {
    state: one(query, 'state') === 'all' ? 'all' : 'open',
    site: Number.isInteger(site) && site > 0 ? site : null,
    severity: SEVERITIES.includes(severity) ? (severity as Severity) : '',
  }
}

/** The address's part for a filter; defaults are left out, so that the plain address means the plain list. */
export function queryOf(filter: AlertFilter): Record<string, string> {
  const query: Record<string, string> = {}
  if (filter.state !== 'open') query.state = filter.state
  if (filter.site !== null) query.site = String(filter.site)
  if (filter.severity) query.severity = filter.severity
  return query
}

export function passes(alert: Alert, filter: AlertFilter): boolean {
  return (
    (filter.state === 'all' || isOpen(alert)) &&
    (filter.site === null || alert.site_id === filter.site) &&
    (!filter.severity || alert.severity === filter.severity)
  )
}
