import { beforeEach, expect, it, vi } from 'vitest'
import type { Camera } from '@/api/types'
import { parseWall } from '@/video/frames'
import { Cycle } from '@/video/cycle'
import { asked, chosen, queryOf, read } from '@/video/layout'
import { follow, timeOf } from '@/video/player'
import { WallSocket } from '@/video/wall'

function message(camera: number, header: object, payload: number[] = []): ArrayBuffer {
  const text = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(8 + text.length + payload.length)
  new DataView(bytes.buffer).setUint32(0, camera, true)
  new DataView(bytes.buffer).setUint32(4, text.length, true)
  bytes.set(text, 8)
  bytes.set(payload, 8 + text.length)
  return bytes.buffer
}

class FakeSocket {
  static readonly OPEN = 1
  static newest: FakeSocket
  readyState = 0
  sent: string[] = []
  onopen: (() => void) | null = null
  onclose: ((event: { code: number }) => void) | null = null
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null

  constructor() {
    FakeSocket.newest = this
  }

  send(text: string): void {
    this.sent.push(text)
  }

  open(): void {
    this.readyState = FakeSocket.OPEN
    this.onopen?.()
  }
}

const turn = (): Promise<void> => Promise.resolve()

beforeEach(() => {
  vi.stubGlobal('WebSocket', FakeSocket)
  vi.stubGlobal('location', { protocol: 'http:', host: 'x' })
})

it('takes a message of the wall apart', () => {
  const { camera, header, payload } = parseWall(message(70_000, { kind: 'none', codec: 'hevc' }, [1, 2]))
  expect(camera).toBe(70_000)
  expect(header).toEqual({ kind: 'none', codec: 'hevc' })
  expect([...payload]).toEqual([1, 2])
  expect(() => parseWall(message(1, {}).slice(0, 7))).toThrow(RangeError)
})

it('says once what many tiles wish for, again after a return, and hands each its own', async () => {
  const faults: unknown[] = []
  const got: string[] = []
  const wall = new WallSocket({ onState: () => undefined, onFault: (error) => faults.push(error) })
  wall.start()
  const leave = wall.watch(1, 'video', (header) => got.push(`1 ${header.kind}`))
  wall.watch(2, 'pictures', (header) => got.push(`2 ${header.kind}`))
  await turn()
  const first = FakeSocket.newest
  expect(first.sent).toEqual([])
  first.open()
  const both = { watch: [{ camera: 1, as: 'video' }, { camera: 2, as: 'pictures' }] }
  expect(first.sent.map((text) => JSON.parse(text) as unknown)).toEqual([both])
  first.onmessage?.({ data: message(1, { kind: 'away', code: 'camera_away' }) })
  first.onmessage?.({ data: message(3, { kind: 'away', code: 'camera_away' }) })
  first.onmessage?.({ data: new ArrayBuffer(3) })
  expect(got).toEqual(['1 away'])
  expect(faults).toHaveLength(1)

  wall.watch(1, 'pictures', (header) => got.push(`again ${header.kind}`))
  leave() // of the watch that has been replaced: it ends nothing
  await turn()
  expect(JSON.parse(first.sent[1] ?? '')).toEqual({ watch: [{ camera: 1, as: 'pictures' }, { camera: 2, as: 'pictures' }] })
  first.onmessage?.({ data: message(1, { kind: 'away', code: 'camera_away' }) })
  expect(got).toEqual(['1 away', 'again away'])
})

it('stays where it plays, hurries when late, jumps when far behind or before a gap', () => {
  expect(follow(10, 5, 10.4)).toEqual({ seek: null, rate: 1 })
  expect(follow(10, 5, 11)).toEqual({ seek: null, rate: 1.08 })
  expect(follow(10, 5, 14)).toEqual({ seek: 13.7, rate: 1 })
  expect(follow(10, 12, 12.1)).toEqual({ seek: 12, rate: 1 })
})

it('knows when what is shown was taken', () => {
  const marks = [{ at: 1, time: 5000 }, { at: 2, time: 6200 }]
  expect(timeOf(marks, 0.5)).toBeNull()
  expect(timeOf(marks, 1.5)).toBe(5500)
  expect(timeOf(marks, 2.25)).toBe(6450)
})

it('puts cameras on pages, each in a place of its own whatever its state', () => {
  const camera = (id: number, site_id: number, state = 'online') => ({ id, site_id, code: `c${id}`, state }) as Camera
  const all = [camera(1, 2), camera(2, 1, 'broken'), camera(3, 1), camera(4, 1, 'disabled'), camera(5, 2), camera(6, 2)]
  const ids = (choice: object) => {
    const found = chosen(all, { ...read(null), ...choice })
    expect(found.missing).toBe(0)
    return [found.page, found.pages, ...found.cameras.map((one) => one.id)]
  }
  expect(ids({})).toEqual([0, 2, 2, 3, 1, 5])
  expect(ids({ page: 1 })).toEqual([1, 2, 6])
  expect(ids({ page: 9, site: 2, size: 1 })).toEqual([2, 3, 6])
  expect(ids({ site: 7 })).toEqual([0, 1])
  expect(ids({ single: true, site: 1, cameras: [6, 2, 1], size: 1 })).toEqual([0, 3, 6])
  expect(ids({ single: true, cameras: [6, 2, 1] })).toEqual([0, 1, 6, 2, 1])
  expect(ids({ single: true, cameras: [] })).toEqual([0, 1])
  // What is switched off or unknown is counted, not shown as a hole.
  const some = chosen(all, { ...read(null), single: true, cameras: [9, 5, 4] })
  expect([some.missing, ...some.cameras.map((one) => one.id)]).toEqual([2, 5])
})

it('stands in an address, and is read from one, whatever stands there', () => {
  const usual = { ...read(null), boxes: false, page: 2, cycle: 30 as const }
  const choices = [{ single: true, cameras: [7, 3], size: 9 as const }, { single: true, cameras: [] }, { site: 4 }, {}]
  for (const part of choices) {
    const shown = { ...usual, ...part }
    const { size, site, single, cameras } = asked(queryOf(shown), { ...usual, site: 8, single: !shown.single, cameras: [1] })
    expect({ size, single }).toEqual({ size: shown.size, single: shown.single })
    expect(shown.single ? cameras : site).toEqual(shown.single ? shown.cameras : shown.site)
  }
  for (const query of [{}, { cameras: null }, { cameras: ['1', '2'] }, { site: 'x' }, { size: '5' }]) expect(asked(query, usual)).toBe(usual)
  expect(asked({ cameras: '3,x,3,-1,0,1.5,,1e99,4' }, usual)).toMatchObject({ single: true, cameras: [3, 4], page: 0, size: 4, boxes: false, cycle: 30 })
  expect(asked({ cameras: Array.from({ length: 999 }, (_, id) => id + 1).join(',') }, usual).cameras).toHaveLength(200)
})

it('reads the choice that was kept, whatever stands there', () => {
  expect(read('{"size": 9, "site": 3, "single": true, "cameras": [4, 2, 4, "x"], "page": 1, "boxes": false, "cycle": 30}')).toEqual({ size: 9, site: 3, single: true, cameras: [4, 2], page: 1, boxes: false, cycle: 30 })
  for (const text of [null, undefined, '{', 'null', '[]', '{"size": 5, "site": "x", "page": -1, "cycle": 1, "single": 1, "cameras": 3}']) {
    expect(read(text)).toEqual({ size: 4, site: null, single: false, cameras: [], page: 0, boxes: true, cycle: 0 })
  }
})

it('turns pages by itself, not while somebody is busy, and not when told not to', () => {
  vi.useFakeTimers()
  const turned = vi.fn()
  const cycle = new Cycle(turned)
  cycle.hold()
  vi.advanceTimersByTime(120_000)
  expect(turned).not.toHaveBeenCalled()
  cycle.start(10)
  vi.advanceTimersByTime(20_000)
  expect(turned).toHaveBeenCalledTimes(2)
  cycle.hold()
  vi.advanceTimersByTime(29_000)
  expect(turned).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(11_000)
  expect(turned).toHaveBeenCalledTimes(4)
  cycle.start(0)
  cycle.hold()
  vi.advanceTimersByTime(120_000)
  expect(turned).toHaveBeenCalledTimes(4)
  cycle.start(60)
  cycle.stop()
  vi.advanceTimersByTime(120_000)
  expect(turned).toHaveBeenCalledTimes(4)
  vi.useRealTimers()
})
