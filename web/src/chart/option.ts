// The look of a time series: one line, its limits, the moment of an alert.
import type { EChartsCoreOption } from 'echarts/core'
import type { Point } from '@/chart/series'
import { valueRange } from '@/chart/series'

export interface LimitLine {
  value: number
  text: string
}

export interface ChartInput {
  points: Point[]
  start: number
  end: number
  limits: LimitLine[]
  /** Span of an alert, ms; drawn as a band. */
  band?: { from: number; to: number; text: string }
  axisTime: (at: number) => string
  fullTime: (at: number) => string
  number: (value: number) => string
  unit: string
}

const token = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** Letters as large as the page's, which grow with the screen. */
const letter = (): number => parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.8

export function chartOption(input: ChartInput): EChartsCoreOption {
  const size = letter()
  const faint = token('--text-faint')
  const line = token('--accent')
  const bad = token('--red')
  const range = valueRange(input.points, input.limits.map((limit) => limit.value))
  return {
    animation: false,
    textStyle: { fontFamily: token('--font') },
    grid: { left: size * 4.2, right: size * 1.6, top: size * 1.6, bottom: size * 2.4 },
    tooltip: {
      trigger: 'axis',
      backgroundColor: token('--panel-raised'),
      borderColor: token('--line-strong'),
      textStyle: { color: token('--text'), fontSize: size },
      formatter: (items: { value: Point }[]) => tooltip(items, input),
    },
    xAxis: {
      type: 'time',
      min: input.start,
      max: input.end,
      axisLine: { lineStyle: { color: token('--line-strong') } },
      axisLabel: { color: faint, fontSize: size, hideOverlap: true, formatter: input.axisTime },
      splitLine: { show: false },
    },
    yAxis: {
      type: 'value',
      min: range?.[0] ?? 0,
      max: range?.[1] ?? 1,
      // Without anything to show there is no scale either.
      axisLabel: { show: range !== null, color: faint, fontSize: size, showMinLabel: false, showMaxLabel: false, formatter: input.number },
      splitLine: { lineStyle: { color: token('--line') } },
    },
    series: [
      {
        type: 'line',
        data: input.points,
        showSymbol: false,
        connectNulls: false,
        lineStyle: { color: line, width: 2 },
        itemStyle: { color: line },
        areaStyle: { color: line, opacity: 0.08, origin: 'start' },
        markLine: {
          silent: true,
          symbol: 'none',
          data: input.limits.map(({ value, text }) => ({
            yAxis: value,
            lineStyle: { color: bad, type: 'dashed', width: 1.5 },
            label: { formatter: text, position: 'insideEndTop', color: bad, fontSize: size },
          })),
        },
        markArea: {
          silent: true,
          itemStyle: { color: bad, opacity: 0.14 },
          label: { color: bad, fontSize: size, position: 'insideTopLeft' },
          data: input.band ? [[{ xAxis: input.band.from, name: input.band.text }, { xAxis: input.band.to }]] : [],
        },
      },
    ],
  }
}

function tooltip(items: { value: Point }[], input: ChartInput): string {
  const point = items[0]?.value
  if (!point) return ''
  const [at, value] = point
  const number = value === null ? '–' : input.number(value)
  return `${input.fullTime(at)}<br><b>${number}</b> ${input.unit}`
}
