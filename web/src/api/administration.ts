// One function a route of the administration.
import { get, post, putAsRead, remove } from '@/api/client'
import type { Account, AccountForm, Deed, ImportResult, Right, Token } from '@/api/types'

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

  importDevices: (sheet: Blob) => post<ImportResult>('/devices/import', sheet),
}
