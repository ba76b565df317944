// The pages of the administration in the order of their links; each is loaded when it is opened.
import { defineAsyncComponent, type Component } from 'vue'
import type { Right } from '@/api/types'

export interface Part {
  /** Last part of the path, and the word of `adminPart`. */
  name: string
  right: Right
  component: Component
  props?: Record<string, string>
}

const AdminRegistry = defineAsyncComponent(() => import('@/components/admin/registry/AdminRegistry.vue'))

export const PARTS: readonly Part[] = [
  { name: 'sites', right: 'registry', component: AdminRegistry, props: { kind: 'sites' } },
  { name: 'devices', right: 'registry', component: AdminRegistry, props: { kind: 'devices' } },
  { name: 'cameras', right: 'registry', component: AdminRegistry, props: { kind: 'cameras' } },
  { name: 'people', right: 'people', component: defineAsyncComponent(() => import('@/components/admin/AdminAccounts.vue')) },
  { name: 'rules', right: 'rules', component: defineAsyncComponent(() => import('@/components/admin/rules/AdminRules.vue')) },
  { name: 'targets', right: 'targets', component: defineAsyncComponent(() => import('@/components/admin/AdminTargets.vue')) },
  { name: 'tokens', right: 'tokens', component: defineAsyncComponent(() => import('@/components/admin/AdminTokens.vue')) },
  { name: 'import', right: 'registry', component: defineAsyncComponent(() => import('@/components/admin/AdminImport.vue')) },
  { name: 'audit', right: 'audit', component: defineAsyncComponent(() => import('@/components/admin/AdminAudit.vue')) },
]
