// One function a route of the administration.
import { get, post, putAsRead, remove } from '@/api/client'
import type { Account, AccountForm, CameraCheck, Deed, ImportResult, Registered, RegistryKind, RegistryPage, Right, Token } from '@/api/types'

export const administration = {
  accounts: () => get<{ items: Account[] }>('/accounts'),
  saveAccount: (code: string, form: AccountForm & { password: string | null }, etag: string | null) =>
    putAsRead<Account>(`/accounts/${encodeURIComponent(code)}`, form, etag),
  unlock: (code: string) => remove<void>(`/accounts/${encodeURIComponent(code)}/lock`),

  tokens: () => get<{ items: Token[] }>('/tokens'),
  makeToken: (wanted: { name: string; rights: Right[]; sites: number[] | null; days: number }) =>
    post<Token & { token: string }>('/tokens', wanted),
  revokeToken: (id: number) => remove<Token>(`/tokens/${id}`),

  audit: (query: { actor?: string; action?: string; before?: number }) =>
    get<{ items: Deed[]; next: number | null }>('/audit', query),

  /** Sites and cameras come all at once, devices in pages. */
  registered: async (kind: RegistryKind, query: { site: string | null; after: string | null }): Promise<RegistryPage> => {
    const answer = await get<Registered[] | RegistryPage>(`/registry/${kind}`, kind === 'sites' ? {} : query)
    return Array.isArray(answer) ? { items: answer, next: null } : answer
  },
  /** The same thing as it is now, null where it is not found; devices are looked through page by page. */
  registeredAs: async (kind: RegistryKind, old: Registered): Promise<Registered | null> => {
    let after: string | null = null
    do {
      const page: RegistryPage = await administration.registered(kind, { site: old.site ?? null, after })
      const found = page.items.find((one) => one.id === old.id)
      if (found) return found
      after = page.next
    } while (after)
    return null
  },
  register: (kind: RegistryKind, key: string, form: Record<string, unknown>, etag: string | null) =>
    putAsRead<Registered>(`/registry/${kind}/${key.split('/').map(encodeURIComponent).join('/')}`, form, etag),
  cameraCheck: (key: string) => get<CameraCheck>(`/registry/cameras/${key}/check`),
  checkCamera: (key: string) => post<CameraCheck>(`/registry/cameras/${key}/check`, {}),
  checkPicture: (key: string) => `/registry/cameras/${key}/check/picture.jpg`,
  renewSecret: (key: string) => post<{ user: string; secret: string }>(`/registry/devices/${key.split('/').map(encodeURIComponent).join('/')}/secret`, {}),

  importDevices: (sheet: Blob) => post<ImportResult>('/devices/import', sheet),
}
