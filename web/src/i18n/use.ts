// What components need of the language: words, and the right one of a name in two languages.
import { computed } from 'vue'
import { useI18n } from 'vue-i18n'
import { ApiError } from '@/api/client'
import type { Labelled, Language, Named, Reason } from '@/api/types'
import { splitDuration, formatTime, type TimeStyle } from '@/format/time'

export function useWords() {
  const { t, te, locale } = useI18n()
  const language = computed(() => locale.value as Language)

  /** A name in the page's language; where the English one is missing, the Chinese one. */
  const named = (thing: Named): string => (language.value === 'en' && thing.name_en ? thing.name_en : thing.name)
  const label = (thing: Labelled): string =>
    language.value === 'en' && thing.label_en ? thing.label_en : thing.label
  const both = (text: { zh: string; en: string }): string => (language.value === 'en' && text.en ? text.en : text.zh)
  const because = (reason: Reason | null | undefined): string => (reason ? both(reason) : '')

  /** The word for a code, or the code itself: an unknown code is shown, not hidden. */
  const word = (group: string, code: string): string => (te(`${group}.${code}`) ? t(`${group}.${code}`) : code)

  const time = (at: number | null | undefined, style: TimeStyle, zone: string): string =>
    formatTime(at, style, zone, language.value)

  function lasted(milliseconds: number): string {
    const { unit, count, rest } = splitDuration(milliseconds)
    return t(rest === 0 ? `wholeDuration.${unit}` : `duration.${unit}`, { count, rest })
  }

  /** What went wrong, in the user's language where the code is known. */
  function explain(error: unknown): string {
    if (!(error instanceof ApiError)) return String(error)
    const text = te(`error.${error.code}`) ? t(`error.${error.code}`) : error.message
    return error.hint ? `${text} (${error.hint})` : text
  }

  return { t, te, language, named, label, both, because, word, time, lasted, explain }
}
