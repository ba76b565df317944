import { describe, expect, it } from 'vitest'
import type { Alert, Device, Site } from '@/api/types'
import { totalsOf } from '@/live/counts'
import { filterOf, passes, queryOf } from '@/live/filters'
import { byState, merge, prune, replaceAll, type World } from '@/live/merge'

const device = (change: Partial<Device> = {}): Device => ({
  id: 1, site_id: 1, code: 'd', kind: 'dust', name: 'd', name_en: 'd', online: true, last_time: 1000,
  last_seen_at: 1000, sequence: null, computes: false, values: { pm10: { value: 10, quality: 'N' } }, limits: {}, ...change,
})
const site = (change: Partial<Site> = {}): Site => ({
  id: 1, code: 's', name: 's', name_en: 's', address: '', latitude: null, longitude: null, time_zone: 'Asia/Shanghai',
  stage: '', state: 'green', reason: { code: 'ok', zh: '', en: '' }, devices: { total: 3, online: 2 },
  cameras: { total: 1, online: 1 }, open_alerts: { info: 0, warning: 0, major: 0, critical: 0 }, units: [], ...change,
})
const alert = (change: Partial<Alert>): Alert => ({ id: 1, site_id: 1, severity: 'major', raised_at: 0, cleared_at: null, ...change }) as Alert
const world = (): World => ({ sites: new Map(), devices: new Map(), cameras: new Map(), alerts: new Map() })
const batch = (change: object) => ({ type: 'batch', cursor: '', time: 0, ...change }) as const
const reading = (time: number, values: object, device_id = 1) =>
  batch({ readings: [{ device_id, site_id: 1, time, values: values as Device['values'] }] })

describe('live messages', () => {
  it('take new values over and keep the channels they do not carry', () => {
    const held = world()
    held.devices.set(1, device({ values: { pm10: { value: 10, quality: 'N' }, laeq: { value: 60, quality: 'N' } } }))
    merge(held, reading(2000, { pm10: { value: 99, quality: 'T' } }))
    expect(held.devices.get(1)).toMatchObject({
      last_time: 2000,
      values: { pm10: { value: 99, quality: 'T' }, laeq: { value: 60 } },
    })
  })

  it('leave back-fill out of the newest value', () => {
    const held = world()
    held.devices.set(1, device())
    merge(held, reading(500, { pm10: { value: 1, quality: 'N' } }))
    expect(held.devices.get(1)?.values.pm10?.value).toBe(10)
  })

  it('replace entries instead of changing them', () => {
    const held = world()
    const before = device()
    held.devices.set(1, before)
    merge(held, batch({ devices: [{ id: 1, online: false }] }))
    expect(before.online).toBe(true)
    expect(held.devices.get(1)).toMatchObject({ online: false, code: 'd' })
  })

  it('say nothing of what the page has not loaded', () => {
    const held = world()
    merge(held, reading(1, {}, 9))
    merge(held, batch({ sites: [{ id: 9, state: 'red' }], cameras: [{ id: 9, state: 'online' }] }))
    expect(held.devices.size + held.sites.size + held.cameras.size).toBe(0)
  })

  it('bring alerts that were not known before', () => {
    const held = world()
    merge(held, batch({ alerts: [alert({ id: 7 })] }))
    expect([...held.alerts.keys()]).toEqual([7])
  })
})

it('the oldest closed alerts are let go, open ones never', () => {
  const entries = [
    alert({ id: 1, raised_at: 1 }),
    alert({ id: 2, raised_at: 2, cleared_at: 9 }),
    alert({ id: 3, raised_at: 3, cleared_at: 9 }),
    alert({ id: 4, raised_at: 4 }),
  ]
  const alerts = new Map(entries.map((one) => [one.id, one]))
  prune(alerts, 4)
  expect(alerts.size).toBe(4)
  prune(alerts, 3)
  expect([...alerts.keys()]).toEqual([1, 3, 4])
  prune(alerts, 1)
  expect([...alerts.keys()]).toEqual([1, 4])
})

it('a fresh list replaces the old one', () => {
  const entries = new Map([[1, site()], [2, site({ id: 2 })]])
  replaceAll(entries, [site({ id: 2, state: 'red' }), site({ id: 3 })])
  expect([...entries.keys()]).toEqual([2, 3])
  expect(entries.get(2)?.state).toBe('red')
})

it('sites are ranked worst first, and stay put where they are equal', () => {
  const open = { info: 0, warning: 0, major: 0, critical: 1 }
  const ranked = [
    site({ id: 1, code: 'b' }),
    site({ id: 2, code: 'a' }),
    site({ id: 3, state: 'red' }),
    site({ id: 4, state: 'red', open_alerts: open }),
    site({ id: 5, state: 'grey' }),
  ].sort(byState)
  expect(ranked.map((one) => one.id)).toEqual([4, 3, 5, 2, 1])
})

it('adds the sites up', () => {
  const totals = totalsOf([site(), site({ id: 2, state: 'red', open_alerts: { info: 1, warning: 0, major: 2, critical: 0 } })])
  expect(totals.sites).toEqual({ red: 1, yellow: 0, green: 1, grey: 0 })
  expect(totals.devices).toEqual({ total: 6, online: 4 })
  expect(totals.alerts.major).toBe(2)
})

describe('alert filters', () => {
  it('come from the address and go back into it', () => {
    const filter = filterOf({ state: 'all', site: '3', severity: 'critical' })
    expect(filter).toEqual({ state: 'all', site: 3, severity: 'critical' })
    expect(queryOf(filter)).toEqual({ state: 'all', site: '3', severity: 'critical' })
  })

  it('ignore what makes no sense', () => {
    expect(filterOf({ state: 'x', site: '-1', severity: ['worst'] })).toEqual({ state: 'open', site: null, severity: '' })
    expect(queryOf(filterOf({}))).toEqual({})
  })

  it('choose live alerts as the server would', () => {
    const filter = filterOf({ site: '1', severity: 'major' })
    expect(passes(alert({}), filter)).toBe(true)
    expect(passes(alert({ cleared_at: 5 }), filter)).toBe(false)
    expect(passes(alert({ site_id: 2 }), filter)).toBe(false)
    expect(passes(alert({ severity: 'info' }), filter)).toBe(false)
  })
})
