// What an alert shows of itself wherever it stands in a list.
import { computed, type ComputedRef } from 'vue'
import type { Alert, Channel, Site } from '@/api/types'
import { formatValue } from '@/format/units'
import { useWords } from '@/i18n/use'
import { useKinds } from '@/stores/kinds'
import { useLive } from '@/stores/live'

export interface AlertFace {
  title: ComputedRef<string>
  /** Undefined where the site is not among those that are watched. */
  site: ComputedRef<Site | undefined>
  siteName: ComputedRef<string>
  metric: ComputedRef<Channel | undefined>
  /** The worst value with its unit; empty where no number measures the violation. */
  value: ComputedRef<string>
  /** SHA-256 of the picture to show. */
  picture: ComputedRef<string | null>
}

export function useFace(alert: () => Alert): AlertFace {
  const { both, named } = useWords()
  const kinds = useKinds()
  const live = useLive()
  const site = computed(() => live.sites.get(alert().site_id))
  // Silence and what a camera saw have numbers too, but none that measures the violation.
  const metric = computed(() => kinds.metric(alert().metric))
  return {
    title: computed(() => both(alert().rule_name) || alert().rule),
    site,
    siteName: computed(() => named(site.value ?? { name: alert().site_name, name_en: alert().site_name_en })),
    metric,
    value: computed(() => (metric.value ? formatValue(alert().max_value ?? alert().last_value, alert().unit) : '')),
    picture: computed(() => alert().crop_shown_sha256 ?? alert().frame_shown_sha256),
  }
}
