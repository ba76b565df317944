// One WebSocket for all cameras of a wall: says which are watched and hands each what comes for it.
import { socketAddress } from '@/api/client'
import { ReturningSocket, type Connection } from '@/live/socket'
import { parseWall, type WallHeader } from '@/video/frames'

/** `video`: as the camera sends it, for who may see originals. `pictures`: drawn by the server, a few a second. */
export type Form = 'video' | 'pictures'
export type Receiver = (header: WallHeader, payload: Uint8Array<ArrayBuffer>) => void

/** The server's close code where the session is over. */
const SESSION_OVER = 1008

interface Watch {
  form: Form
  receive: Receiver
}

export interface WallOptions {
  onState: (state: Connection) => void
  /** A message that is none; the connection goes on. */
  onFault: (error: unknown) => void
}

export class WallSocket {
  private readonly watched = new Map<number, Watch>()
  private readonly socket: ReturningSocket
  private readonly options: WallOptions
  private telling = false

  constructor(options: WallOptions) {
    this.options = options
    this.socket = new ReturningSocket({
      address: () => socketAddress('/video'),
      binary: true,
      onMessage: (data) => this.take(data),
      onOpen: () => this.tell(),
      onState: options.onState,
      isFinal: (code) => code === SESSION_OVER,
    })
  }

  start(): void {
    this.socket.start()
  }

  stop(): void {
    this.socket.stop()
  }

  /** Watch a camera, in place of how it was watched before; gives a function that ends it. */
  watch(camera: number, form: Form, receive: Receiver): () => void {
    const mine = { form, receive }
    this.watched.set(camera, mine)
    this.tellSoon()
    return () => {
      if (this.watched.get(camera) !== mine) return
      this.watched.delete(camera)
      this.tellSoon()
    }
  }

  /** Tiles come and go together: they are told in one message. */
  private tellSoon(): void {
    if (this.telling) return
    this.telling = true
    queueMicrotask(() => {
      this.telling = false
      this.tell()
    })
  }

  private tell(): void {
    const watch = [...this.watched].map(([camera, { form }]) => ({ camera, as: form }))
    this.socket.send(JSON.stringify({ watch }))
  }

  private take(data: string | ArrayBuffer): void {
    if (typeof data === 'string') return
    try {
      const { camera, header, payload } = parseWall(data)
      this.watched.get(camera)?.receive(header, payload)
    } catch (error) {
      this.options.onFault(error)
    }
  }
}
