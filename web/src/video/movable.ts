// Which cameras of a wall can be moved: asked one after another, since one that does not answer takes its time.
import { onBeforeUnmount, reactive, watch } from 'vue'
import { api } from '@/api'
import { usePolling } from '@/live/polling'

/** So often those that could not are asked again, ms. The server remembers a refusal for half of it. */
const AGAIN = 60_000

/** `able`: ids of those that can, `failure`: why one could not be asked about. `cameras`: those that are shown now. */
export function useMovable(cameras: () => number[]) {
  const able = reactive(new Set<number>())

  const polling = usePolling(async () => {
    let failed: unknown = null
    for (const camera of cameras()) {
      if (able.has(camera)) continue
      // The page may have been turned since.
      if (!cameras().includes(camera)) break
      try {
        if ((await api.ptz(camera)).able) able.add(camera)
      } catch (error) {
        failed = error
      }
    }
    if (failed) throw failed
  }, AGAIN)

  watch(() => cameras().join(), () => {
    polling.stop()
    polling.start()
  }, { immediate: true })
  onBeforeUnmount(polling.stop)

  return { able, failure: polling.failure }
}
