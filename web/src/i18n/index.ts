import { createI18n } from 'vue-i18n'
import type { Language } from '@/api/types'
import en from '@/i18n/en'
import zh from '@/i18n/zh'
import { keep as keepInBrowser, recall } from '@/storage'

const NAME = 'language'

const isLanguage = (value: string | null | undefined): value is Language => value === 'zh' || value === 'en'

/** The language chosen in this browser before, if any. */
function kept(): Language | null {
  const value = recall(NAME)
  return isLanguage(value) ? value : null
}

export const i18n = createI18n({
  legacy: false,
  locale: kept() ?? 'zh',
  fallbackLocale: 'zh',
  messages: { zh, en },
})

export const hasChosen = (): boolean => kept() !== null

export function currentLanguage(): Language {
  return i18n.global.locale.value as Language
}

/** Changes the page's language; `keep` remembers it in this browser. */
export function setLanguage(language: Language, keep: boolean): void {
  i18n.global.locale.value = language
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  if (keep) keepInBrowser(NAME, language)
}
