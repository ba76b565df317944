// What the page knows of the world: read over HTTP once, kept fresh by one WebSocket, read again after a gap.
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

  const siteList = computed(() => [...sites.values()].sort(byState))
  const newestAlerts = computed(() => [...alerts.values()].sort(byNewest))
  const openAlerts = computed(() => newestAlerts.value.filter(isOpen))
  const openCount = computed(() => sum(totalsOf(sites.values()).alerts))

  async function load(): Promise<void> {
    const [everySite, everyCamera, open, recent] = await Promise.all([
      api.sites(),
      api.cameras(),
      api.alerts({ state: 'open', limit: OPEN }),
      api.alerts({ state: 'all', limit: RECENT }),
    ])
    replaceAll(sites, everySite.items)
    replaceAll(cameras, everyCamera.items)
    replaceAll(alerts, [...open.items, ...recent.items])
    loaded.value = true
    failure.value = null
  }

  /** Reads the devices of all sites, for views that compare them. */
  async function loadDevices(): Promise<void> {
    replaceAll(devices, (await api.devices()).items)
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
    if (message.type === 'hello') useClock().fromHello(message.time)
    merge({ sites, devices, cameras, alerts }, message)
    prune(alerts, KEPT)
  }

  async function resync(first = false): Promise<void> {
    try {
      await load()
      if (!first) resyncs.value += 1
    } catch (error) {
      failure.value = error
    }
  }

  /** Opens the one WebSocket of this tab; `onSessionOver` is called when the server no longer knows the session. */
  function start(onSessionOver: () => void): void {
    if (socket) return
    // Reading only after the channel is open leaves no gap between the two.
    socket = new ReturningSocket({
      address: () => socketAddress('/live'),
      onMessage: receive,
      onOpen: (first) => void resync(first),
      onState: (state) => (connection.value = state),
      isFinal: (code) => code === SESSION_OVER,
      onFinal: onSessionOver,
    })
    socket.start()
  }

  function stop(): void {
    socket?.stop()
    socket = null
    loaded.value = false
    for (const entries of [sites, devices, cameras, alerts]) entries.clear()
  }

  return {
    sites, devices, cameras, alerts, siteList, newestAlerts, openAlerts, openCount,
    connection, resyncs, loaded, failure, loadDevices, loadSite, resync, start, stop,
  }
})
