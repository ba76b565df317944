// What an officer last read, kept by the browser for a start without network: own alerts and orders, and each of them.
// The person's own copies, gone at the log-out; what is to be sent lies on the shelf, which outlives it.
import { openDB, type DBSchema, type IDBPDatabase } from 'idb'
import type { Alert, AlertDetail, Rectification, RectificationDetail } from '@/api/types'

/** By name: the lists of the officer's page, and one alert or order. */
export interface Copies {
  mine: { alerts: Alert[]; orders: Rectification[] }
  [alert: `alert ${number}`]: AlertDetail
  [order: `order ${number}`]: RectificationDetail
}

export interface Copy<Value> {
  person: number
  name: string
  /** Changes with what the copy is of; the same: it need not be read again. */
  state: string
  /** Unix ms. */
  at: number
  value: Value
}

interface Seen extends DBSchema {
  copies: { key: [number, string]; value: Copy<unknown> }
}

/** Whose copies may be written now: an answer under way at the log-out must not come back behind it. */
let owner: number | null = null

let opened: Promise<IDBPDatabase<Seen>> | null = null

// A database of its own: a tab with an older page does not hold up what waits on the shelf.
function seen(): Promise<IDBPDatabase<Seen>> {
  opened ??= openDB<Seen>('smartsite-seen', 1, {
    upgrade: (database) => void database.createObjectStore('copies', { keyPath: ['person', 'name'] }),
    blocking(_now, _next, event) {
      opened = null
      ;(event.target as IDBDatabase).close()
    },
  }).catch((error: unknown) => {
    opened = null
    throw error
  })
  return opened
}

/** A browser that keeps nothing (a private window, a full disk) has no copies: that is no reason to fail. */
async function guarded<T>(action: (database: IDBPDatabase<Seen>) => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await action(await seen())
  } catch (error) {
    if (error instanceof DOMException) return otherwise
    throw error
  }
}

export const keepCopy = <Name extends keyof Copies>(person: number, name: Name, value: Copies[Name], state = ''): Promise<void> =>
  guarded(async (database) => {
    if (owner === person) await database.put('copies', { person, name, state, at: Date.now(), value })
  }, undefined)

export const copyOf = <Name extends keyof Copies>(person: number, name: Name): Promise<Copy<Copies[Name]> | undefined> =>
  guarded((database) => database.get('copies', [person, name]) as Promise<Copy<Copies[Name]> | undefined>, undefined)

/** All but the named ones: what is no longer the person's to deal with is not kept either. */
export const keepOnly = (person: number, names: (keyof Copies)[]): Promise<void> =>
  guarded(async (database) => {
    const wanted = new Set<string>(names)
    for (const [of, name] of await database.getAllKeys('copies')) {
      if (of === person && !wanted.has(name)) await database.delete('copies', [of, name])
    }
  }, undefined)

/** From now on the copies are this person's; nobody else's stay. */
export function ownCopies(person: number | null): Promise<void> {
  owner = person
  return guarded(async (database) => {
    for (const [of, name] of await database.getAllKeys('copies')) if (of !== person) await database.delete('copies', [of, name])
  }, undefined)
}
