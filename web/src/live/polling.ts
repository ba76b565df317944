// Reads something again and again while a view is open; a failed turn leaves the last answer and tries at the next.
import { ref } from 'vue'

export function usePolling(read: () => Promise<unknown>, interval: number) {
  const failure = ref<unknown>(null)
  let timer: ReturnType<typeof setTimeout> | null = null
  let running = false
  /** Tells the turns of one start from those of the next: an answer may come when its start was stopped already. */
  let round = 0

  async function turn(mine: number): Promise<void> {
    try {
      await read()
      failure.value = null
    } catch (error) {
      failure.value = error
    }
    if (mine === round) timer = setTimeout(() => void turn(mine), interval)
  }

  return {
    failure,
    start(): void {
      if (running) return
      running = true
      round += 1
      void turn(round)
    },
    stop(): void {
      running = false
      round += 1
      if (timer) clearTimeout(timer)
    },
  }
}
