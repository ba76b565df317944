// Device kinds and their channels: names, units and plausible ranges, read once.
import { defineStore } from 'pinia'
import { shallowReactive } from 'vue'
import { api } from '@/api'
import type { Channel, Kind } from '@/api/types'

export const useKinds = defineStore('kinds', () => {
  const kinds = shallowReactive(new Map<string, Kind>())
  let reading: Promise<void> | null = null

  async function read(): Promise<void> {
    const { items } = await api.kinds()
    for (const kind of items) kinds.set(kind.kind, kind)
  }

  function load(): Promise<void> {
    reading ??= read().catch((error: unknown) => {
      reading = null
      throw error
    })
    return reading
  }

  /** A channel of a kind; an unknown one is shown under its own name, never hidden. */
  function channel(kind: string, name: string): Channel {
    const known = kinds.get(kind)?.channels.find((one) => one.name === name)
    return known ?? { name, label: name, label_en: name, unit: '', type: 'real', minimum: null, maximum: null }
  }

  /** The first channel of that name in any kind: alerts carry a metric's name but not the kind. */
  function metric(name: string): Channel | undefined {
    for (const kind of kinds.values()) {
      const found = kind.channels.find((one) => one.name === name)
      if (found) return found
    }
    return undefined
  }

  return { kinds, load, channel, metric }
})
