import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { usePolling } from '@/live/polling'

describe('polling', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('reads at once and after each interval, and tries on after a failure', async () => {
    const read = vi.fn().mockRejectedValueOnce(new Error('away')).mockResolvedValue(undefined)
    const polling = usePolling(read, 1000)
    polling.start()
    await vi.advanceTimersByTimeAsync(0)
    expect(polling.failure.value).toBeInstanceOf(Error)
    await vi.advanceTimersByTimeAsync(1000)
    expect(polling.failure.value).toBeNull()
    expect(read).toHaveBeenCalledTimes(2)
    polling.stop()
    await vi.advanceTimersByTimeAsync(5000)
    expect(read).toHaveBeenCalledTimes(2)
  })

  it('goes on once after a new start, though an answer of the old one was still on its way', async () => {
    const answers: (() => void)[] = []
    const read = vi.fn(() => new Promise<void>((done) => void answers.push(done)))
    const polling = usePolling(read, 1000)
    polling.start()
    polling.stop()
    polling.start()
    expect(read).toHaveBeenCalledTimes(2)
    for (const answer of answers) answer()
    await vi.advanceTimersByTimeAsync(1000)
    expect(read).toHaveBeenCalledTimes(3)
    polling.stop()
  })
})
