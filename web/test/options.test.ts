import { describe, expect, it } from 'vitest'
import type { CameraOption } from '@/api/types'
import { changed, entered, faultOf, limitsOf, merged, parsed, written } from '@/components/admin/registry/options'

const field = (more: Partial<CameraOption> = {}): CameraOption => ({
  name: 'x', group: 'stream', type: 'number', unit: '', label: '', label_en: '', description: '', description_en: '',
  default: 1, choices: null, over: null, least: null, below: null, most: null, max_length: null, ...more,
})

describe('options of a camera', () => {
  it('are read from JSON, and nothing is none', () => {
    expect(parsed('')).toEqual({})
    expect(parsed('{"fps": 2}')).toEqual({ fps: 2 })
    for (const text of ['{', '[]', '1', 'null']) expect(parsed(text)).toBeNull()
    expect(written({})).toBe('')
  })

  it('are unset by an empty field, but a text whose default is another', () => {
    expect(entered(field(), ' ')).toBeUndefined()
    expect(entered(field(), '0.5')).toBe(0.5)
    expect(entered(field(), 'much')).toBe('much')
    expect(entered(field({ type: 'boolean', default: false }), 'false')).toBe(false)
    expect(entered(field({ type: 'text', default: '' }), '')).toBeUndefined()
    expect(entered(field({ type: 'text', default: 'off' }), '')).toBe('')
  })

  it.each([
    [{ over: 0 }, 0, 'greater_than'],
    [{ least: 1 }, 0, 'greater_than_equal'],
    [{ below: 1 }, 1, 'less_than'],
    [{ most: 30 }, 31, 'less_than_equal'],
    [{}, 'much', 'float_parsing'],
    [{ type: 'integer' }, 'much', 'int_parsing'],
    [{ type: 'integer' }, 1.5, 'int_from_float'],
    [{ type: 'text', max_length: 3 }, 'four', 'string_too_long'],
  ] as [Partial<CameraOption>, unknown, string][])('tell what %o makes of %s', (more, value, code) => {
    expect(faultOf(field(more), value)?.code).toBe(code)
  })

  it('may lie on a limit, and be left out', () => {
    for (const value of [1, 30, undefined]) expect(faultOf(field({ least: 1, most: 30 }), value)).toBeNull()
    expect(limitsOf(field({ over: 0, most: 30 }))).toBe('(>\u00a00, ≤\u00a030)')
    expect(limitsOf(field())).toBe('')
  })

  it('of two people are put together one by one', () => {
    const before = { fps: 1, score: 0.5, loop: true }
    const mine = { fps: 2, score: 0.5 }
    const theirs = { fps: 3, score: 0.6, loop: true, zones: [{}] }
    expect(changed(before, mine)).toEqual(['fps', 'loop'])
    expect(merged(before, mine, theirs)).toEqual({ fps: 2, score: 0.6, zones: [{}] })
  })
})
