import { describe, expect, it } from 'vitest'
import { blank, compared, idOf, settingsOf, withSetting } from '@/rules/text'

const TEXT = `# of order 7
[[rules]]
id = "pm10"
severity = "major"   # for now
raise_above = 150
  clear_after = "2 min"
name = "raise_above = 3"
levels = [
  { severity = "critical", raise_above = 250 },
]

[rules.flap]
raise_above = 9
`

describe('settings of a rule', () => {
  it('are those on lines of their own', () => {
    expect(settingsOf(TEXT).map((one) => [one.key, one.value])).toEqual([
      ['enabled', 'true'],
      ['severity', 'major'],
      ['raise_above', '150'],
      ['clear_after', '2 min'],
    ])
  })

  it('change in their line alone', () => {
    expect(withSetting(TEXT, 'severity', 'critical')).toBe(TEXT.replace('severity = "major" ', 'severity = "critical" '))
    expect(withSetting(TEXT, 'raise_above', '130')).toBe(TEXT.replace('raise_above = 150', 'raise_above = 130'))
    expect(withSetting(TEXT, 'clear_after', '5 "min')).toBe(TEXT.replace('2 min', '5 min'))
  })

  it('are added behind what the rule says', () => {
    expect(withSetting(TEXT, 'enabled', 'false')).toBe(TEXT.replace(']\n\n[rules.flap]', ']\nenabled = false\n\n[rules.flap]'))
    expect(settingsOf(withSetting(blank('x'), 'enabled', 'false'))[0]).toEqual({ key: 'enabled', input: 'switch', value: 'false' })
  })

  it('are none where the text has several rules, none, or another form', () => {
    expect(settingsOf(TEXT + TEXT)).toEqual([])
    expect(settingsOf('rules = [{ id = "x" }]')).toEqual([])
    expect(withSetting('', 'enabled', 'false')).toBe('')
  })
})

it('two texts are compared line by line', () => {
  expect(compared('a\nb\n', 'a\nc\n')).toEqual([
    { sort: 'same', text: 'a' },
    { sort: 'gone', text: 'b' },
    { sort: 'new', text: 'c' },
  ])
})

it('a text names its rule', () => {
  expect(idOf(blank('own-rule'))).toBe('own-rule')
  expect(idOf('x = 1')).toBe('')
})
