// A list that is not pushed, of one site or of what else it is asked by: asked for every few seconds while it is shown, and at once after a change.
import { onBeforeUnmount, shallowRef, watch } from 'vue'
import { usePolling } from '@/live/polling'

const REFRESH = 10_000

export function useListing<T, K = number>(site: () => K, ask: (site: K) => Promise<T>) {
  const found = shallowRef<T | null>(null)

  async function read(): Promise<void> {
    const asked = site()
    const answer = await ask(asked)
    // The view may have gone on to another site meanwhile.
    if (asked === site()) found.value = answer
  }

  const polling = usePolling(read, REFRESH)
  watch(site, () => {
    found.value = null
    polling.stop()
    polling.start()
  }, { immediate: true })
  onBeforeUnmount(polling.stop)

  return {
    found,
    failure: polling.failure,
    refresh: () =>
      read().then(
        () => (polling.failure.value = null),
        (error: unknown) => (polling.failure.value = error),
      ),
  }
}
