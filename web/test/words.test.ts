import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import en from '@/i18n/en'
import zh from '@/i18n/zh'

type Words = { [key: string]: string | Words }

function flat(words: Words, prefix = ''): Map<string, string> {
  const all = new Map<string, string>()
  for (const [key, value] of Object.entries(words)) {
    if (typeof value === 'string') all.set(prefix + key, value)
    else for (const [inner, text] of flat(value, `${prefix}${key}.`)) all.set(inner, text)
  }
  return all
}

const chinese = flat(zh)
const english = flat(en)

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(vue|ts)$/.test(name) && !/^i18n\/(zh|en)\.ts$/.test(name))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
}

const code = sources(join(import.meta.dirname, '..', 'src'))

describe('the words of the page', () => {
  it('exist in both languages', () => expect([...english.keys()].sort()).toEqual([...chinese.keys()].sort()))

  it('are nowhere empty, and take the same parameters', () => {
    const parameters = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort()
    for (const [key, text] of chinese) {
      expect(text, key).not.toBe('')
      expect(english.get(key), key).not.toBe('')
      // English shortens "7 min 0 s" as Chinese does: both carry the same parts.
      expect(parameters(english.get(key) ?? ''), key).toEqual(parameters(text))
    }
  })

  it('are Chinese in zh and not in en', () => {
    const own = new Set(['language.zh'])
    for (const [key, text] of english) if (!own.has(key)) expect(text, key).not.toMatch(/[\u4e00-\u9fff]/)
  })

  it('cover every key that the code names', () => {
    const named = code.flatMap((text) => [...text.matchAll(/\bt\('([\w.]+)'/g)].map((match) => match[1] ?? ''))
    expect(named.length).toBeGreaterThan(100)
    for (const key of named) expect(chinese.has(key), key).toBe(true)
  })

  it('are all used', () => {
    const all = code.join('\n')
    // Words of a code are looked up by group: word('delivery', state), t(`state.${state}`).
    const group = (name: string): boolean => all.includes(`word('${name}'`) || all.includes(`\`${name}.\${`)
    const unused = [...chinese.keys()].filter((key) => {
      const parts = key.split('.')
      // A code may choose among groups too: `evidence.vote.${kind}`.
      return !all.includes(`'${key}'`) && !parts.some((_, place) => place > 0 && group(parts.slice(0, place).join('.')))
    })
    expect(unused).toEqual([])
  })

  it('stand only in the word lists', () => {
    for (const text of code) {
      const bare = text.replace(/\/\/.*|\/\*[\s\S]*?\*\/|<!--[\s\S]*?-->/g, '')
      expect(bare).not.toMatch(/[\u4e00-\u9fff]/)
    }
  })
})
