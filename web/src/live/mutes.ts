// What the API takes as a mute's end, said before it is asked.

const LONGEST = 31 * 24 * 3600_000

export function muteFault(until: number | null, now: number): 'missing' | 'past' | 'tooLong' | null {
  if (until === null) return 'missing'
  if (until <= now) return 'past'
  return until - now > LONGEST ? 'tooLong' : null
}
