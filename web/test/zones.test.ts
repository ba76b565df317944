import { describe, expect, it } from 'vitest'
import { faultOf, newZone, sentZones, zonesOf, type Corner, type Zone } from '@/components/admin/registry/zones'

const zone = (polygon: Corner[], more: Partial<Zone> = {}): Zone => ({ name: 'z', use: 'include', polygon, ...more })

describe('faults of a zone', () => {
  it('has none in what is drawn first, nor in a hollow one', () => {
    expect(faultOf(newZone('gate'))).toBeNull()
    expect(faultOf(zone([[0, 0], [1, 0], [1, 1], [0.5, 0.2], [0, 1]]))).toBeNull()
  })
  it('names the sides that cross', () => {
    expect(faultOf(zone([[0, 0], [1, 1], [1, 0], [0, 1]]))).toEqual({ code: 'crosses', first: 2, second: 4 })
  })
  it('finds a side that runs back over its neighbour', () => {
    expect(faultOf(zone([[0, 0], [1, 0], [0.5, 0], [0.5, 1]]))).toMatchObject({ code: 'crosses' })
  })
  it('finds a corner that touches another side', () => {
    expect(faultOf(zone([[0, 0], [1, 0], [1, 1], [0.5, 0], [0, 1]]))).toMatchObject({ code: 'crosses' })
  })
  it.each([
    ['name', zone([[0, 0], [1, 0], [1, 1]], { name: ' ' })],
    ['outside', zone([[0, 0], [1.1, 0], [1, 1]])],
    ['twice', zone([[0, 0], [1, 0], [0, 0]])],
    ['area', zone([[0, 0], [0.01, 0], [0.01, 0.001]])],
    ['absent', zone([[0, 0], [1, 0], [1, 1]], { use: 'post', absent_s: 1 })],
  ])('tells %s', (code, found) => {
    expect(faultOf(found)).toEqual({ code })
  })
})

it('takes zones from options and gives back what the server takes', () => {
  const [found] = zonesOf({ fps: 1, zones: [{ name: 'a', polygon: [[0, 0], [1, 0], [1, 1]] }] })
  expect(found).toEqual({ name: 'a', use: 'include', polygon: [[0, 0], [1, 0], [1, 1]] })
  expect(sentZones([zone([], { use: 'post' })])).toEqual([{ name: 'z', use: 'post', polygon: [], absent_s: 300 }])
  expect(zonesOf(undefined)).toEqual([])
})
