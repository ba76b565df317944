// A test that a worker makes: asked for, then followed while it waits and runs. The newest one is shown when a view opens.
import { computed, onBeforeUnmount, onMounted, ref, shallowRef, type ShallowRef } from 'vue'
import { useWords } from '@/i18n/use'
import { usePolling } from '@/live/polling'

interface Trial {
  state: string
  asked_at: number | null
}

export function useTrial<T extends Trial>(read: () => Promise<T>, request: () => Promise<T>) {
  const { explain } = useWords()
  const found: ShallowRef<T | null> = shallowRef(null)
  const asking = ref(false)
  const failure = ref('')
  const polling = usePolling(async () => take(await read()), 1000)
  const busy = computed(() => found.value?.state === 'waiting' || found.value?.state === 'running')
  const fault = computed(() => failure.value || (polling.failure.value ? explain(polling.failure.value) : ''))

  function take(one: T): void {
    // An answer that was under way when the test was asked for tells of the one before.
    if ((one.asked_at ?? 0) < (found.value?.asked_at ?? 0)) return
    found.value = one
    if (!busy.value) polling.stop()
  }

  async function ask(): Promise<void> {
    if (asking.value) return
    asking.value = true
    failure.value = ''
    try {
      found.value = await request()
      polling.start()
    } catch (error) {
      failure.value = explain(error)
    }
    asking.value = false
  }

  onMounted(polling.start)
  onBeforeUnmount(polling.stop)
  return { found, busy: computed(() => busy.value || asking.value), failure, fault, ask }
}
