// Sends an entry of the shelf, and tells what cures itself from what does not.
import { api } from '@/api'
import { ApiError } from '@/api/client'
import type { Entry } from '@/waiting/shelf'

/** No network, a session that is over, a server that is busy or away: the same is sent again later. */
export function passes(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 'network' || error.status === 401 || error.status === 429 || error.status >= 500)
}

/**
 * Sends it; `kept` is called after each photo that arrived, so that it need not be sent again. `own` tells whether its
 * person is still the one who is logged in: nothing goes out in another's name.
 */
export async function send(entry: Entry, own: () => boolean, kept: () => Promise<void>): Promise<void> {
  const still = (): void => {
    if (!own()) throw new ApiError('unauthenticated', 'somebody else is logged in', 401)
  }
  still()
  if (entry.kind === 'acknowledge') await api.acknowledge(entry.about, entry.text, entry.key)
  else if (entry.kind === 'comment') await api.comment(entry.about, entry.text, entry.key)
  else {
    while (entry.photos.length) {
      const { sha256 } = await api.uploadPhoto(entry.about, entry.photos[0] as Blob)
      entry.sent = [...new Set([...entry.sent, sha256])]
      entry.photos = entry.photos.slice(1)
      await kept()
      still()
    }
    await api.rectify(entry.about, 'submit', { version: entry.version, text: entry.text, photos: entry.sent }, entry.key)
  }
}
