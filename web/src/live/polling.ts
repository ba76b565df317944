// Reads something again and again while a view is open; a failed turn leaves the last answer and tries at the next.
import { ref } from 'vue'

export function usePolling(read: () => Promise<unknown>, interval: number) {
  const failure = ref<unknown>(null)
  let timer: ReturnType<typeof setTimeout> | null = null
  let running = false

  async function turn(): Promise<void> {
    try {
      await read()
      failure.value = null
    } catch (error) {
      failure.value = error
    }
    if (running) timer = setTimeout(() => void turn(), interval)
  }

  return {
    failure,
    start(): void {
      if (running) return
      running = true
      void turn()
    },
    stop(): void {
      running = false
      if (timer) clearTimeout(timer)
    },
  }
}
