// Who is logged in, and in which language the page speaks.
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import type { RouteLocationRaw } from 'vue-router'
import { api } from '@/api'
import { ApiError, setCsrf } from '@/api/client'
import type { Person, Right, Session } from '@/api/types'
import { drop, keep, recall } from '@/storage'
import { ownCopies } from '@/waiting/seen'

/** Kept while logged in: whether asking the server for the session is worth it, which is all a script can know of it. */
const MARK = 'session'
/** Kept while logged in: who it is, for a start without network. */
const PERSON = 'person'
/** How long a start waits for a server that does not answer, where it is known who is logged in, ms. */
const PATIENCE = 5_000

function lastPerson(): Person | null {
  const text = recall(PERSON)
  if (!text) return null
  try {
    return JSON.parse(text) as Person
  } catch {
    return null
  }
}

export const useSession = defineStore('session', () => {
  const person = ref<Person | null>(null)
  /** False until the server has been asked once whether the cookie is still good. */
  const asked = ref(false)
  /** Begun without the server: it is known who was logged in last, but not whether they still are. */
  const limited = ref(false)
  /** Where the live channel stood when the session was told. */
  const cursor = ref('')

  function take(session: Session): void {
    cursor.value = session.live
    void ownCopies(session.person.id)
    person.value = session.person
    setCsrf(session.csrf)
    limited.value = false
    keep(MARK, '1')
    keep(PERSON, JSON.stringify(session.person))
  }

  /**
   * Asks the server, `anyway` also where nothing is kept of a log-in; a 401 is an answer. Where the server cannot be asked,
   * the last person is back in a limited state; with nobody known that is the caller's to show.
   */
  async function restore(anyway = false): Promise<void> {
    if (anyway || limited.value || recall(MARK) !== null) await ask(anyway)
    asked.value = true
  }

  async function ask(anyway: boolean): Promise<void> {
    const known = lastPerson()
    try {
      take(await api.session(known ? AbortSignal.timeout(PATIENCE) : undefined))
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      // Another tab may have logged out while this one was limited.
      const over = error.status === 401 || (limited.value && !known)
      if (over) forget()
      else if (anyway || !known) throw error
      else {
        if (person.value?.id !== known.id) person.value = known
        limited.value = true
      }
    }
  }

  /** Whether the server knows the session again; asked by whoever needs it, one at a time. */
  let coming: Promise<void> | null = null
  function comeBack(): Promise<void> {
    if (!limited.value) return Promise.resolve()
    coming ??= restore().finally(() => (coming = null))
    return coming
  }

  async function logIn(login: string, password: string): Promise<void> {
    take(await api.logIn(login, password))
    asked.value = true
  }

  async function logOut(): Promise<void> {
    await api.logOut()
    forget()
  }

  function forget(): void {
    person.value = null
    limited.value = false
    setCsrf('')
    drop(MARK)
    drop(PERSON)
    void ownCopies(null)
  }

  const may = (right: Right): boolean => person.value?.rights.includes(right) ?? false

  /** Where one begins: whoever works on a site, at what concerns them. */
  const home = computed(() => (person.value?.role === 'officer' ? 'mine' : 'overview'))

  /** Where to go after the log-in. Only a path of this page: a link must not lead a fresh session elsewhere. */
  const destination = (next: unknown): RouteLocationRaw =>
    typeof next === 'string' && /^\/(?![/\\])/.test(next) ? next : { name: home.value }

  return { person, asked, limited, cursor, home, destination, may, loggedIn: computed(() => person.value !== null), restore, comeBack, logIn, logOut, forget }
})
