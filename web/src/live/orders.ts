// Figures of orders to rectify, from what the API counts.
import type { OrderCounts } from '@/api/types'

/** Of the orders that count, the share that was or is past its deadline; null: there are none. */
export function lateShare(row: Pick<OrderCounts, 'ordered' | 'withdrawn' | 'late'>): number | null {
  const counted = row.ordered - row.withdrawn
  return counted > 0 ? row.late / counted : null
}

/** Mean days from the order to the pass; null: none was passed. */
export const meanDays = (row: Pick<OrderCounts, 'mean_hours'>): number | null => (row.mean_hours === null ? null : row.mean_hours / 24)

/** All rows together; a mean counts by the orders that were passed. */
export function together(rows: OrderCounts[]): OrderCounts {
  const sum = (of: (row: OrderCounts) => number): number => rows.reduce((total, row) => total + of(row), 0)
  const states = Object.fromEntries(
    Object.keys(rows[0]?.states ?? {}).map((state) => [state, sum((row) => row.states[state as keyof OrderCounts['states']])]),
  ) as OrderCounts['states']
  const passed = sum((row) => row.passed)
  return {
    key: null, name: '', name_en: '', states, passed,
    ordered: sum((row) => row.ordered),
    withdrawn: sum((row) => row.withdrawn),
    overdue: sum((row) => row.overdue),
    late: sum((row) => row.late),
    mean_hours: passed ? sum((row) => (row.mean_hours ?? 0) * row.passed) / passed : null,
  }
}
