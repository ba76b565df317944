// What the API takes as a mute's aim, and as its end, said before it is asked.

/** The fields of a mute that aim it at a subject such as `device:7`; of none, at all of its site. */
export function aimOf(subject: string): { device_id?: number; camera_id?: number } {
  const [kind, id] = subject.split(':')
  return kind === 'device' ? { device_id: Number(id) } : kind === 'camera' ? { camera_id: Number(id) } : {}
}

const LONGEST = 31 * 24 * 3600_000

export function muteFault(until: number | null, now: number): 'missing' | 'past' | 'tooLong' | null {
  if (until === null) return 'missing'
  if (until <= now) return 'past'
  return until - now > LONGEST ? 'tooLong' : null
}
