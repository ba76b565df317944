// Who is logged in, and in which language the page speaks.
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { api } from '@/api'
import { ApiError, setCsrf } from '@/api/client'
import type { Person, Right, Session } from '@/api/types'
import { drop, keep, recall } from '@/storage'

/** Kept while logged in: whether asking the server for the session is worth it, which is all a script can know of it. */
const MARK = 'session'

export const useSession = defineStore('session', () => {
  const person = ref<Person | null>(null)
  /** False until the server has been asked once whether the cookie is still good. */
  const asked = ref(false)

  function take(session: Session): void {
    person.value = session.person
    setCsrf(session.csrf)
    keep(MARK, '1')
  }

  /** Asks the server; a 401 is an answer, everything else is the caller's to show. */
  async function restore(): Promise<void> {
    if (recall(MARK) !== null) {
      try {
        take(await api.session())
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 401)) throw error
        forget()
      }
    }
    asked.value = true
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
    setCsrf('')
    drop(MARK)
  }

  const may = (right: Right): boolean => person.value?.rights.includes(right) ?? false

  return { person, asked, may, loggedIn: computed(() => person.value !== null), restore, logIn, logOut, forget }
})
