import { afterEach, expect, it, vi } from 'vitest'
import { getAgain, setCsrf } from '@/api/client'

const asked: (string | null)[] = []
let body = { n: 1 }

vi.stubGlobal('fetch', (_: string, options: { headers: Record<string, string> }) => {
  const known = options.headers['If-None-Match'] ?? null
  asked.push(known)
  const etag = `"${JSON.stringify(body)}"`
  return Promise.resolve(
    known === etag
      ? new Response(null, { status: 304, headers: { etag } })
      : new Response(JSON.stringify(body), { headers: { etag, 'content-type': 'application/json' } }),
  )
})
afterEach(() => {
  asked.length = 0
  body = { n: 1 }
  setCsrf('')
})

it('does not read again what has not changed', async () => {
  const first = await getAgain('/system')
  expect(await getAgain('/system')).toBe(first)
  expect(asked).toEqual([null, '"{"n":1}"'])
  body = { n: 2 }
  expect(await getAgain('/system')).toEqual({ n: 2 })
  expect(await getAgain('/system', { a: 1 })).toEqual({ n: 2 })
  expect(asked.at(-1)).toBeNull()
})

it('keeps nothing for the next person', async () => {
  await getAgain('/system')
  setCsrf('another')
  await getAgain('/system')
  expect(asked).toEqual([null, null])
})
