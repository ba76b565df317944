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

/** What a header of the wall's WebSocket says; that of a picture names no kind. */
export type WallHeader =
  | (FrameHeader & { kind?: undefined })
  | { kind: 'init'; codec: string; width: number; height: number }
  | { kind: 'fragment'; key: boolean; time: number; at: number }
  | { kind: 'boxes'; time: number; boxes: Box[] }
  | { kind: 'none'; codec: string }
  | { kind: 'away' | 'refused'; code: string }

export interface WallMessage {
  camera: number
  header: WallHeader
  payload: Uint8Array<ArrayBuffer>
}

function split(message: ArrayBuffer, from: number): [header: unknown, payload: Uint8Array<ArrayBuffer>] {
  const length = new DataView(message).getUint32(from, true)
  const start = from + 4 + length
  if (start > message.byteLength) throw new RangeError(`header of ${length} bytes in ${message.byteLength}`)
  const text = new TextDecoder().decode(new Uint8Array(message, from + 4, length))
  return [JSON.parse(text), new Uint8Array(message, start)]
}

/** Takes a message apart; throws RangeError or SyntaxError where it is not such a message. */
export function parseFrame(message: ArrayBuffer): Frame {
  const [header, jpeg] = split(message, 0)
  return { header: header as FrameHeader, jpeg }
}

/** The same for a message of the wall, which begins with the camera's id. */
export function parseWall(message: ArrayBuffer): WallMessage {
  const [header, payload] = split(message, 4)
  return { camera: new DataView(message).getUint32(0, true), header: header as WallHeader, payload }
}
