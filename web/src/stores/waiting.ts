// What this person said or sent without the server's answer: tried again until it arrived, or the server refused it.
import { defineStore } from 'pinia'
import { computed, reactive, shallowRef, watch } from 'vue'
import { api } from '@/api'
import { ApiError, newKey } from '@/api/client'
import { useSession } from '@/stores/session'
import { entriesOf, put, take, type Entry } from '@/waiting/shelf'
import { passes, send } from '@/waiting/send'

const FIRST_PAUSE = 2_000
const LONGEST_PAUSE = 60_000

export type Wish = Pick<Entry, 'kind' | 'about' | 'title' | 'text'> & Partial<Pick<Entry, 'version' | 'sent' | 'photos'>>

/** What a person writes and photographs for an order before it is submitted: it outlives a log-in in between. */
export interface Draft {
  text: string
  /** Photos that could not be sent yet, with an address to show them by. */
  photos: { photo: Blob; address: string }[]
}

export const useWaiting = defineStore('waiting', () => {
  const session = useSession()
  const entries = shallowRef<Entry[]>([])
  let pause = FIRST_PAUSE
  let timer: ReturnType<typeof setTimeout> | null = null
  let running: Promise<void> | null = null
  /** On their way: a second sending would put back what the first has taken from the shelf. */
  const underway = new Set<string>()

  const own = (entry: Entry) => (): boolean => session.person?.id === entry.person

  async function refresh(): Promise<void> {
    // A browser that keeps nothing has nothing that waits.
    entries.value = session.person ? await entriesOf(session.person.id).catch(() => []) : []
  }

  /** Kept first, then sent: true when it arrived, false when it waits. A refusal is thrown, and nothing is kept of it. */
  async function wish(wished: Wish): Promise<boolean> {
    if (!session.person) throw new Error('nobody is logged in')
    const entry: Entry = { version: null, sent: [], photos: [], ...wished, key: newKey(), person: session.person.id, at: Date.now(), refused: '' }
    underway.add(entry.key)
    // A browser that keeps nothing (a private window, a full disk) still sends.
    const kept = await put(entry).then(() => true, () => false)
    try {
      await reach()
      await send(entry, own(entry), async () => void (kept && (await put(entry))))
    } catch (error) {
      if (kept && passes(error)) {
        later()
        return false
      }
      if (kept) await take(entry.key)
      throw error
    } finally {
      underway.delete(entry.key)
      if (kept) await refresh()
    }
    if (kept) {
      await take(entry.key)
      await refresh()
    }
    return true
  }

  /** A page that began without network has no session to send with: the server is asked for it first. */
  async function reach(): Promise<void> {
    await session.comeBack()
    if (session.limited) throw new ApiError('network', 'the server cannot be asked for the session', 0)
  }

  /** Sends what waits, oldest first; the first that does not get through ends the turn. */
  function flush(): Promise<void> {
    running ??= turn().finally(() => (running = null))
    return running
  }

  async function turn(): Promise<void> {
    if (timer) clearTimeout(timer)
    timer = null
    await refresh()
    for (const entry of entries.value.filter((one) => !one.refused && !underway.has(one.key))) {
      underway.add(entry.key)
      try {
        await reach()
        await send(entry, own(entry), () => put(entry))
        await take(entry.key)
        pause = FIRST_PAUSE
      } catch (error) {
        if (passes(error)) {
          later()
          break
        }
        entry.refused = error instanceof ApiError ? error.code : String(error)
        await put(entry)
      } finally {
        underway.delete(entry.key)
      }
    }
    await refresh()
  }

  function later(): void {
    if (timer || !session.person) return
    timer = setTimeout(() => void flush(), pause)
    pause = Math.min(2 * pause, LONGEST_PAUSE)
  }

  /** A submission that was refused, made anew of the order as it stands: the person has agreed to that. */
  async function again(entry: Entry): Promise<void> {
    const { version } = await api.rectification(entry.about)
    const renewed: Entry = { ...entry, version, key: newKey(), refused: '' }
    await put(renewed)
    await take(entry.key)
    pause = FIRST_PAUSE
    await flush()
  }

  /** Given up by the person. */
  async function discard(key: string): Promise<void> {
    await take(key)
    await refresh()
  }

  const drafts = reactive(new Map<number, Draft>())
  let author: number | undefined

  function draftOf(order: number): Draft {
    if (!drafts.has(order)) drafts.set(order, { text: '', photos: [] })
    return drafts.get(order) as Draft
  }

  function forget(order: number): void {
    for (const { address } of drafts.get(order)?.photos ?? []) URL.revokeObjectURL(address)
    drafts.delete(order)
  }

  watch(
    () => session.person?.id,
    (person) => {
      if (person !== undefined && person !== author) {
        for (const order of [...drafts.keys()]) forget(order)
        author = person
      }
      void flush()
    },
    { immediate: true },
  )
  window.addEventListener('beforeunload', (event) => {
    if ([...drafts.values()].some((draft) => draft.photos.length)) event.preventDefault()
  })
  watch(
    () => session.limited,
    (limited) => {
      if (!limited) void flush()
    },
  )
  window.addEventListener('online', () => {
    pause = FIRST_PAUSE
    void flush()
  })

  return { entries, count: computed(() => entries.value.length), wish, flush, again, discard, draftOf, forget }
})
