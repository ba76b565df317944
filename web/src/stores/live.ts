// What the page knows of the world: read over HTTP once, kept fresh by one WebSocket. After a lost connection the server
// sends what was missed; where it cannot, everything is read again.
import { defineStore } from 'pinia'
import { computed, ref, shallowReactive } from 'vue'
import { api } from '@/api'
import { socketAddress } from '@/api/client'
import type { Alert, Camera, Device, LiveMessage, Site, SiteDetail } from '@/api/types'
import { sum, totalsOf } from '@/live/counts'
import { byNewest, byState, isOpen, merge, prune, replaceAll } from '@/live/merge'
import { ReturningSocket, type Connection } from '@/live/socket'
import { useClock } from '@/stores/clock'

/** How many alerts are read at first; more are on the alerts page, and the sites carry the exact counts. */
const OPEN = 200
const RECENT = 30
/** Closed alerts beyond this many in all are let go. */
const KEPT = 500
/** The server closes with this code (policy violation) where the session is over. */
const SESSION_OVER = 1008

export const useLive = defineStore('live', () => {
  const sites = shallowReactive(new Map<number, Site>())
  const devices = shallowReactive(new Map<number, Device>())
  const cameras = shallowReactive(new Map<number, Camera>())
  const alerts = shallowReactive(new Map<number, Alert>())

  const connection = ref<Connection>('closed')
  /** Moves after every return of the connection: views that show more than this store read theirs again. */
  const resyncs = ref(0)
  const loaded = ref(false)
  const failure = ref<unknown>(null)
  let socket: ReturningSocket | null = null
  /** Of the last message: what comes after it is asked for at the next connection. */
  let cursor = ''
  /** Until the first greeting everything is being read already. */
  let reading: Promise<void> | null = null
  /** Answers under way, and what was pushed meanwhile. */
  let readings = 0
  let meanwhile: LiveMessage[] = []

  const siteList = computed(() => [...sites.values()].sort(byState))
  const newestAlerts = computed(() => [...alerts.values()].sort(byNewest))
  const openAlerts = computed(() => newestAlerts.value.filter(isOpen))
  const openCount = computed(() => sum(totalsOf(sites.values()).alerts))

  /** Merged again behind what is being read: an answer may be older than what was pushed while it was under way. */
  async function whileReading(read: () => Promise<unknown>): Promise<void> {
    if (readings++ === 0) meanwhile = []
    try {
      await read()
      for (const message of meanwhile) merge({ sites, devices, cameras, alerts }, message)
    } finally {
      readings -= 1
    }
  }

  async function load(): Promise<void> {
    // What is there first is shown first: the map need not wait for the alerts.
    const alertsRead = Promise.all([api.alerts({ state: 'open', limit: OPEN }), api.alerts({ state: 'all', limit: RECENT })])
    await whileReading(() =>
      Promise.all([
        api.sites().then(({ items }) => replaceAll(sites, items)),
        api.cameras().then(({ items }) => replaceAll(cameras, items)),
        alertsRead.then(([open, recent]) => replaceAll(alerts, [...open.items, ...recent.items])),
      ]),
    )
    loaded.value = true
    failure.value = null
  }

  /** Reads the devices of all sites, for views that compare them. */
  async function loadDevices(): Promise<void> {
    await whileReading(async () => replaceAll(devices, (await api.devices()).items))
  }

  /** Reads one site with its devices; live readings flow into them from then on. */
  async function loadSite(id: number): Promise<void> {
    const detail: SiteDetail = await api.site(id)
    for (const device of detail.devices) devices.set(device.id, device)
    for (const camera of detail.cameras) cameras.set(camera.id, camera)
  }

  function receive(data: string | ArrayBuffer): void {
    if (typeof data !== 'string') return
    const message = JSON.parse(data) as LiveMessage
    cursor = message.cursor
    if (message.type === 'hello') greeted(message)
    if (readings > 0) meanwhile.push(message)
    merge({ sites, devices, cameras, alerts }, message)
    prune(alerts, KEPT)
  }

  function greeted(hello: LiveMessage): void {
    useClock().fromHello(hello.time)
    const first = reading
    reading = null
    if (!hello.resumed) void (first ?? Promise.resolve()).then(() => resync())
    else if (first === null) {
      if (loaded.value && failure.value === null) resyncs.value += 1
      else void resync()
    }
  }

  async function resync(atFirst = false): Promise<void> {
    try {
      await load()
      if (!atFirst) resyncs.value += 1
    } catch (error) {
      failure.value = error
    }
  }

  /**
   * Reads the world and opens the one WebSocket of this tab, at once: what happened after the cursor `after` is sent, so
   * that nothing is left out. `onSessionOver` is called when the server no longer knows the session.
   */
  function start(after: string, onSessionOver: () => void): void {
    if (socket) return
    cursor = after
    reading = resync(true)
    socket = new ReturningSocket({
      address: () => socketAddress('/live') + (cursor ? `?after=${encodeURIComponent(cursor)}` : ''),
      onMessage: receive,
      onState: (state) => (connection.value = state),
      isFinal: (code) => code === SESSION_OVER,
      onFinal: onSessionOver,
    })
    socket.start()
  }

  function stop(): void {
    socket?.stop()
    socket = null
    cursor = ''
    reading = null
    loaded.value = false
    for (const entries of [sites, devices, cameras, alerts]) entries.clear()
  }

  return {
    sites, devices, cameras, alerts, siteList, newestAlerts, openAlerts, openCount,
    connection, resyncs, loaded, failure, loadDevices, loadSite, resync, start, stop,
  }
})
