import { expect, it } from 'vitest'
import type { OrderCounts } from '@/api/types'
import { lateShare, meanDays, together } from '@/live/orders'

const STATES = { ordered: 1, rectifying: 0, submitted: 0, returned: 0, passed: 2, withdrawn: 1 }
const row = (changes: Partial<OrderCounts>): OrderCounts => ({
  key: 1, name: 'a', name_en: 'a', ordered: 4, passed: 2, withdrawn: 1, overdue: 1, late: 1, mean_hours: 48, states: STATES, ...changes,
})

it('leaves withdrawn orders out of the share that was late', () => {
  expect(lateShare(row({}))).toBeCloseTo(1 / 3)
  expect(lateShare(row({ ordered: 1, withdrawn: 1, late: 0 }))).toBeNull()
})

it('tells means in days', () => {
  expect(meanDays(row({}))).toBe(2)
  expect(meanDays(row({ mean_hours: null }))).toBeNull()
})

it('weighs a mean by the orders that were passed', () => {
  const all = together([row({}), row({ passed: 6, mean_hours: 24, late: 0 }), row({ passed: 0, mean_hours: null })])
  expect(all.mean_hours).toBe((48 * 2 + 24 * 6) / 8)
  expect([all.ordered, all.late, all.states.passed]).toEqual([12, 2, 6])
  expect(together([]).mean_hours).toBeNull()
})
