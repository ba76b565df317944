// A WebSocket that comes back: exponential back-off with jitter, and a word to its owner on every return.

export type Connection = 'connecting' | 'online' | 'waiting' | 'closed'

export interface SocketOptions {
  address: () => string
  binary?: boolean
  onMessage: (data: string | ArrayBuffer) => void
  /** `first` tells a first connection from a return, after which what was missed must be read again. */
  onOpen?: (first: boolean) => void
  onState?: (state: Connection) => void
  /** Every end of a connection, with its close code. */
  onClose?: (code: number) => void
  /** Close codes after which trying again is useless, as when the session is over. */
  isFinal?: (code: number) => boolean
  onFinal?: (code: number) => void
}

const FIRST_DELAY = 500
const LONGEST_DELAY = 15_000

/** Milliseconds before try number `attempt` (0, 1, ...): doubles up to a cap; `random` in 0..1 spreads many tabs. */
export function backOff(attempt: number, random: number): number {
  const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** attempt)
  return ceiling * (0.5 + random / 2)
}

export class ReturningSocket {
  private readonly options: SocketOptions
  private socket: WebSocket | null = null
  private timer: ReturnType<typeof setTimeout> | null = null
  private attempt = 0
  private opened = 0
  private stopped = false

  constructor(options: SocketOptions) {
    this.options = options
  }

  start(): void {
    this.stopped = false
    this.connect()
  }

  stop(): void {
    this.stopped = true
    if (this.timer) clearTimeout(this.timer)
    this.timer = null
    this.socket?.close(1000)
    this.socket = null
    this.options.onState?.('closed')
  }

  /** Sends a text; one that is said while there is no connection is lost, `onOpen` is the time to say it again. */
  send(text: string): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(text)
  }

  private connect(): void {
    this.options.onState?.('connecting')
    const socket = new WebSocket(this.options.address())
    if (this.options.binary) socket.binaryType = 'arraybuffer'
    this.socket = socket
    socket.onopen = () => {
      if (socket !== this.socket) return
      this.attempt = 0
      this.options.onState?.('online')
      this.options.onOpen?.(this.opened++ === 0)
    }
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (socket === this.socket) this.options.onMessage(event.data)
    }
    socket.onclose = (event) => {
      if (socket !== this.socket || this.stopped) return
      this.socket = null
      this.options.onClose?.(event.code)
      if (this.options.isFinal?.(event.code)) {
        this.options.onState?.('closed')
        this.options.onFinal?.(event.code)
        return
      }
      this.options.onState?.('waiting')
      this.timer = setTimeout(() => this.connect(), backOff(this.attempt++, Math.random()))
    }
  }
}
