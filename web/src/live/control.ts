// The downlink of one site, asked for again and again while it is shown: commands move without a reading or an alert.
import { computed, onBeforeUnmount, shallowRef, watch } from 'vue'
import { api } from '@/api'
import type { Control } from '@/api/types'
import { usePolling } from '@/live/polling'

const REFRESH = 2_000

/** `able` says whether the site has devices that take commands: without any nothing is asked. */
export function useControl(site: () => number, able: () => boolean) {
  const control = shallowRef<Control | null>(null)

  async function read(): Promise<void> {
    const asked = site()
    const answer = await api.control(asked)
    // The view may have gone on to another site meanwhile.
    if (asked === site()) control.value = answer
  }

  const polling = usePolling(read, REFRESH)
  watch([site, able], () => {
    control.value = null
    polling.stop()
    if (able()) polling.start()
  }, { immediate: true })
  onBeforeUnmount(polling.stop)

  return {
    devices: computed(() => new Map(control.value?.devices.map((one) => [one.device_id, one]) ?? [])),
    decisions: computed(() => control.value?.decisions ?? []),
    failure: polling.failure,
    /** Reads at once, as after a command was given; what fails now shows at the next turn. */
    refresh: () => read().catch((error: unknown) => (polling.failure.value = error)),
  }
}
