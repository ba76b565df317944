// One function a route of the administration.
import { get, post, postAsRead, putAsRead, remove } from '@/api/client'
import type { Account, AccountForm, CameraCheck, CameraOption, Deed, ImportResult, Registered, RegistryKind, RegistryPage, Right, RuleCheck, RuleDetail, RuleList, RuleTrial, Target, TargetCheck, Token } from '@/api/types'

export const administration = {
  accounts: () => get<{ items: Account[] }>('/accounts'),
  saveAccount: (code: string, form: AccountForm & { password: string | null }, etag: string | null) =>
    putAsRead<Account>(`/accounts/${encodeURIComponent(code)}`, form, etag),
  unlink: (code: string) => remove<void>(`/accounts/${encodeURIComponent(code)}/links`),
  unlock: (code: string) => remove<void>(`/accounts/${encodeURIComponent(code)}/lock`),

  tokens: () => get<{ items: Token[] }>('/tokens'),
  makeToken: (wanted: { name: string; rights: Right[]; sites: number[] | null; days: number }) =>
    post<Token & { token: string }>('/tokens', wanted),
  revokeToken: (id: number) => remove<Token>(`/tokens/${id}`),

  targets: async () => (await get<{ items: Target[] }>('/targets')).items,
  switchTarget: (one: Target, on: boolean, reason: string) => putAsRead<Target>(`/targets/${one.name}/switch`, { on, reason }, one.etag),
  targetCheck: (name: string) => get<TargetCheck>(`/targets/${name}/test`),
  checkTarget: (name: string) => post<TargetCheck>(`/targets/${name}/test`, {}),

  rules: () => get<RuleList>('/rules'),
  rule: (id: string) => get<RuleDetail>(`/rules/${id}`),
  checkRules: (text: string) => post<RuleCheck>('/rules/check', { text }),
  writeRule: (id: string, text: string, reason: string, etag: string | null) => putAsRead<RuleDetail>(`/rules/${id}`, { text, reason }, etag),
  withdrawRule: (id: string, reason: string, etag: string) => postAsRead(`/rules/${id}/withdraw`, { reason }, etag),
  ruleTrial: () => get<RuleTrial>('/rule-trial'),
  tryRules: (wish: { text: string; from: number; to: number; site: string | null }) => post<RuleTrial>('/rule-trial', wish),
  dropTrial: () => remove<void>('/rule-trial'),

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
  cameraOptions: () => get<CameraOption[]>('/registry/cameras/options'),
  cameraCheck: (key: string) => get<CameraCheck>(`/registry/cameras/${key}/check`),
  checkCamera: (key: string) => post<CameraCheck>(`/registry/cameras/${key}/check`, {}),
  checkPicture: (key: string) => `/registry/cameras/${key}/check/picture.jpg`,
  renewSecret: (key: string) => post<{ user: string; secret: string }>(`/registry/devices/${key.split('/').map(encodeURIComponent).join('/')}/secret`, {}),

  importDevices: (sheet: Blob) => post<ImportResult>('/devices/import', sheet),
}
