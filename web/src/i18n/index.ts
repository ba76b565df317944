import { createI18n } from 'vue-i18n'
import type { Language } from '@/api/types'
import en from '@/i18n/en'
import zh from '@/i18n/zh'

const KEY = 'smartsite.language'

const isLanguage = (value: string | null): value is Language => value === 'zh' || value === 'en'

/** The choice kept in this browser, or nothing: a storage that is shut off is no reason to fail. */
function kept(): Language | null {
  try {
    const value = localStorage.getItem(KEY)
    return isLanguage(value) ? value : null
  } catch (error) {
    if (error instanceof DOMException) return null
    throw error
  }
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
  if (!keep) return
  try {
    localStorage.setItem(KEY, language)
  } catch (error) {
    if (!(error instanceof DOMException)) throw error
  }
}
