// What the page knows of the world: read over HTTP once, kept fresh by one WebSocket, read again after a gap.
import { defineStore } from 'pinia'
import { computed, ref, shallowReactive } from 'vue'
import { api } from '@/api'
import { socketAddress } from '@/api/client'
import type { Alert, Camera, Device, LiveMessage, Site, SiteDetail } from '@/api/types'
import { byNewest, byState, isOpen, mergeBatch, replaceAll } from '@/live/merge'
import { ReturningSocket, type Connection } from '@/live/socket'
import { useClock } from '@/stores/clock'

/** How many alerts the ticker reads at first; older ones are on the alerts page. */
const TICKER = 50
/** The server closes with this code where the session is over. */
const POLICY_VIOLATION = 1008

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

  async function load(): Promise<void> {
    const [everySite, everyCamera, recent] = await Promise.all([
      api.sites(),
      api.cameras(),
      api.alerts({ state: 'open', limit: TICKER }),
    ])
    replaceAll(sites, everySite.items)
    replaceAll(cameras, everyCamera.items)
    replaceAll(alerts, recent.items)
    loaded.value = true
    failure.value = null
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
    if (message.type === 'batch') mergeBatch({ sites, devices, cameras, alerts }, message)
    else if (message.type === 'hello' && message.time) useClock().fromHello(message.time)
  }

  async function resync(): Promise<void> {
    try {
      await load()
      resyncs.value += 1
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
      onOpen: () => void resync(),
      onState: (state) => (connection.value = state),
      isFinal: (code) => code === POLICY_VIOLATION,
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
    sites, devices, cameras, alerts, siteList, newestAlerts, openAlerts,
    connection, resyncs, loaded, failure, loadSite, resync, start, stop,
  }
})
