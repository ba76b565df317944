import { expect, it } from 'vitest'
import { parseFrame } from '@/video/frames'

function message(header: object, jpeg: number[], length?: number): ArrayBuffer {
  const text = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(4 + text.length + jpeg.length)
  new DataView(bytes.buffer).setUint32(0, length ?? text.length, true)
  bytes.set(text, 4)
  bytes.set(jpeg, 4 + text.length)
  return bytes.buffer
}

it('takes a message apart', () => {
  const header = { time: 5, width: 2, height: 1, boxes: [] }
  const frame = parseFrame(message(header, [0xff, 0xd8, 0xff]))
  expect(frame.header).toEqual(header)
  expect([...frame.jpeg]).toEqual([0xff, 0xd8, 0xff])
})

it('refuses what is no such message', () => {
  expect(() => parseFrame(new ArrayBuffer(2))).toThrow(RangeError)
  expect(() => parseFrame(message({}, [], 5000))).toThrow(RangeError)
  expect(() => parseFrame(message({}, [], 1))).toThrow(SyntaxError)
})
