import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { backOff, ReturningSocket } from '@/live/socket'

class FakeSocket {
  static all: FakeSocket[] = []
  onopen: (() => void) | null = null
  onclose: ((event: { code: number }) => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  closed = false

  constructor(readonly address: string) {
    FakeSocket.all.push(this)
  }

  close(): void {
    this.closed = true
  }
}

const newest = (): FakeSocket => FakeSocket.all.at(-1) as FakeSocket

beforeEach(() => {
  FakeSocket.all = []
  vi.useFakeTimers()
  vi.stubGlobal('WebSocket', FakeSocket)
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

it('backs off up to a cap, spread by chance', () => {
  expect(backOff(0, 1)).toBe(500)
  expect(backOff(3, 1)).toBe(4000)
  expect(backOff(30, 1)).toBe(15_000)
  expect(backOff(3, 0)).toBe(2000)
})

describe('a connection that breaks', () => {
  it('comes back and says that it is not the first', () => {
    const opened: boolean[] = []
    const states: string[] = []
    const socket = new ReturningSocket({
      address: () => 'ws://x',
      onMessage: () => undefined,
      onOpen: (first) => opened.push(first),
      onState: (state) => states.push(state),
    })
    socket.start()
    newest().onopen?.()
    newest().onclose?.({ code: 1006 })
    expect(states.at(-1)).toBe('waiting')
    vi.advanceTimersByTime(600)
    newest().onopen?.()
    expect(opened).toEqual([true, false])
    expect(states).toEqual(['connecting', 'online', 'waiting', 'connecting', 'online'])
  })

  it('stays closed after a final code, and says which', () => {
    const ends: number[] = []
    const socket = new ReturningSocket({
      address: () => 'ws://x',
      onMessage: () => undefined,
      isFinal: (code) => code === 1008,
      onFinal: (code) => ends.push(code),
    })
    socket.start()
    newest().onclose?.({ code: 1008 })
    vi.advanceTimersByTime(60_000)
    expect(ends).toEqual([1008])
    expect(FakeSocket.all).toHaveLength(1)
  })

  it('stays closed when it was stopped, and hears nothing more of its old self', () => {
    const heard: unknown[] = []
    const socket = new ReturningSocket({ address: () => 'ws://x', onMessage: (data) => heard.push(data) })
    socket.start()
    const old = newest()
    socket.stop()
    old.onmessage?.({ data: 'late' })
    old.onclose?.({ code: 1000 })
    vi.advanceTimersByTime(60_000)
    expect(heard).toEqual([])
    expect(FakeSocket.all).toHaveLength(1)
  })
})
