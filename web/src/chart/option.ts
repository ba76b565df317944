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
  /** Least and greatest values of the means that `points` are; drawn as a shade. */
  extent?: { low: Point[]; high: Point[] }
  /** Another curve to compare with, and its name. */
  compared?: { name: string; points: Point[] }
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
  const { extent, compared } = input
  const all = [...input.points, ...(extent?.low ?? []), ...(extent?.high ?? []), ...(compared?.points ?? [])]
  const range = valueRange(all, input.limits.map((limit) => limit.value))
  return {
    animation: false,
    textStyle: { fontFamily: token('--font') },
    grid: { left: size * 4.2, right: size * 1.6, top: size * 1.6, bottom: size * 2.4 },
    tooltip: {
      trigger: 'axis',
      backgroundColor: token('--panel-raised'),
      borderColor: token('--line-strong'),
      textStyle: { color: token('--text'), fontSize: size },
      formatter: (items: Item[]) => tooltip(items, input),
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
      ...(extent ? shade(extent, line) : []),
      ...(compared ? [comparison(compared.points, token('--yellow'))] : []),
    ],
  }
}

/** The room between least and greatest as two stacked areas, the lower one unseen. */
function shade({ low, high }: { low: Point[]; high: Point[] }, colour: string) {
  const height = high.map(([at, value], i): Point => [at, value === null ? null : value - (low[i]?.[1] ?? value)])
  const part = { type: 'line', stack: 'extent', showSymbol: false, silent: true, lineStyle: { opacity: 0 }, tooltip: { show: false } }
  return [
    { ...part, data: low, stackStrategy: 'all' },
    { ...part, data: height, stackStrategy: 'all', areaStyle: { color: colour, opacity: 0.2 } },
  ]
}

const comparison = (points: Point[], colour: string) => ({
  id: COMPARED,
  type: 'line',
  data: points,
  showSymbol: false,
  connectNulls: false,
  lineStyle: { color: colour, width: 1.5, type: 'dotted' },
  itemStyle: { color: colour },
})

const COMPARED = 'compared'
interface Item {
  value: Point
  seriesId?: string
  seriesIndex: number
}

function tooltip(items: Item[], input: ChartInput): string {
  const own = items.find((item) => item.seriesIndex === 0)
  const other = items.find((item) => item.seriesId === COMPARED)
  const at = (own ?? other)?.value[0]
  if (at === undefined) return ''
  const said = (value: number | null) => `<b>${value === null ? '–' : input.number(value)}</b> ${input.unit}`
  const lines = [input.fullTime(at)]
  if (own) lines.push(said(own.value[1]))
  if (other && input.compared) lines.push(`${escaped(input.compared.name)}: ${said(other.value[1])}`)
  return lines.join('<br>')
}

/** Names are people's words, a tool-tip is markup. */
const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
