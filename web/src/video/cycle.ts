// Turns the pages of the wall by itself, and waits while somebody is busy with the page that is shown.

/** Seconds a page is shown; 0: until somebody turns it. */
export const PERIODS = [0, 10, 30, 60] as const
export type Period = (typeof PERIODS)[number]

/** So long nothing turns after somebody moved or pressed something, s. */
const HOLD = 30

export class Cycle {
  private readonly turn: () => void
  private period: Period = 0
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(turn: () => void) {
    this.turn = turn
  }

  start(period: Period): void {
    this.period = period
    this.wait(period)
  }

  /** Somebody is busy with this page. */
  hold(): void {
    this.wait(Math.max(this.period, HOLD))
  }

  stop(): void {
    clearTimeout(this.timer)
  }

  private wait(seconds: number): void {
    this.stop()
    if (this.period === 0) return
    this.timer = setTimeout(() => {
      this.turn()
      this.wait(this.period)
    }, seconds * 1000)
  }
}
