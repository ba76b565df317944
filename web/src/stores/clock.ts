// The server's clock as this page knows it: every age and every "now" on screen is taken from it.
import { defineStore } from 'pinia'
import { ref } from 'vue'

/** A Date header is cut to whole seconds, so the true time lies on average half a second later. */
const HEADER_CUT = 500
/** A header only corrects what differs by more than its own resolution and a slow network explain. */
const HEADER_TRUST = 2_000

export const useClock = defineStore('clock', () => {
  const offset = ref(0)
  const now = ref(Date.now())
  let timer: ReturnType<typeof setInterval> | null = null

  function tick(): void {
    now.value = Date.now() + offset.value
  }

  function set(serverTime: number): void {
    offset.value = serverTime - Date.now()
    tick()
  }

  /** From the live channel's greeting: exact but for the way here. */
  const fromHello = set

  function fromHeader(date: number): void {
    const guess = date + HEADER_CUT
    if (Math.abs(guess - (Date.now() + offset.value)) > HEADER_TRUST) set(guess)
  }

  function start(): void {
    timer ??= setInterval(tick, 1000)
  }

  return { now, offset, fromHello, fromHeader, start }
})
