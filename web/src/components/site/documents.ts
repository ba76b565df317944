// What a document's form holds and what is wrong with it, for a new one and for a change alike.
import { reactive } from 'vue'
import { useWords } from '@/i18n/use'
import type { DocumentFacts } from '@/api/types'

export const LONGEST_TITLE = 150

export function useDocumentFacts() {
  const { t } = useWords()
  const facts = reactive<DocumentFacts>({ kind: 'construction_permit', kind_text: '', title: '', valid_until: null, note: '' })
  const faults = reactive({ title: '', kind_text: '' })

  return {
    facts,
    faults,
    fill({ kind, kind_text, title, valid_until, note }: DocumentFacts): void {
      Object.assign(facts, { kind, kind_text, title, valid_until, note })
      Object.assign(faults, { title: '', kind_text: '' })
    },
    check(): boolean {
      faults.title = facts.title.trim() ? '' : t('control.missing')
      faults.kind_text = facts.kind !== 'other' || facts.kind_text.trim() ? '' : t('control.missing')
      return !faults.title && !faults.kind_text
    },
    /** As they are sent: own words belong to `other` only, an emptied day is none. */
    said: (): DocumentFacts => ({
      kind: facts.kind,
      kind_text: facts.kind === 'other' ? facts.kind_text.trim() : '',
      title: facts.title.trim(),
      valid_until: facts.valid_until || null,
      note: facts.note.trim(),
    }),
  }
}
