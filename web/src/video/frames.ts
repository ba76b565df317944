// The live stream of a camera: one binary message a frame = 4 bytes little-endian length, JSON header, JPEG.

export interface Box {
  x1: number
  y1: number
  x2: number
  y2: number
  label: string
  score: number
  track: number | null
}

export interface FrameHeader {
  time: number
  width: number
  height: number
  boxes: Box[]
}

export interface Frame {
  header: FrameHeader
  jpeg: Uint8Array<ArrayBuffer>
}

/** Takes a message apart; throws RangeError or SyntaxError where it is not such a message. */
export function parseFrame(message: ArrayBuffer): Frame {
  const length = new DataView(message).getUint32(0, true)
  if (4 + length > message.byteLength) throw new RangeError(`header of ${length} bytes in ${message.byteLength}`)
  const text = new TextDecoder().decode(new Uint8Array(message, 4, length))
  return { header: JSON.parse(text) as FrameHeader, jpeg: new Uint8Array(message, 4 + length) }
}
