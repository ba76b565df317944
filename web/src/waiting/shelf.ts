// What could not be sent yet, kept by the browser: it outlives the page, the tab and the phone's battery.
import { openDB, type DBSchema, type IDBPDatabase } from 'idb'

/** Something that a person said or sent, under a key made once: however often it is sent, the server does it once. */
export interface Entry {
  key: string
  /** Nobody else sends it, whoever logs in on this device. */
  person: number
  kind: 'acknowledge' | 'comment' | 'submit'
  /** The alert's or order's number, and its name for the list. */
  about: number
  title: string
  text: string
  /** Of an order: the version that the person looked at. */
  version: number | null
  /** SHA-256 of photos that the server has, and photos that it does not have yet. */
  sent: string[]
  photos: Blob[]
  at: number
  /** The API's code of a refusal that waiting does not cure; empty: it is to be sent. */
  refused: string
}

interface Shelf extends DBSchema {
  entries: { key: string; value: Entry }
}

let opened: Promise<IDBPDatabase<Shelf>> | null = null

function shelf(): Promise<IDBPDatabase<Shelf>> {
  opened ??= openDB<Shelf>('smartsite', 1, {
    upgrade: (database) => void database.createObjectStore('entries', { keyPath: 'key' }),
  }).catch((error: unknown) => {
    opened = null
    throw error
  })
  return opened
}

/** Oldest first. */
export async function entriesOf(person: number): Promise<Entry[]> {
  const all = await (await shelf()).getAll('entries')
  return all.filter((one) => one.person === person).sort((a, b) => a.at - b.at)
}

export async function put(entry: Entry): Promise<void> {
  await (await shelf()).put('entries', entry)
}

export async function take(key: string): Promise<void> {
  await (await shelf()).delete('entries', key)
}
