// The hold on a camera that is moved: a WebSocket that carries the wish, again and again while it is held.
import { socketAddress } from '@/api/client'

/** Shares of the camera's full speed, -1..1; all zero stands still. */
export interface Wish {
  pan: number
  tilt: number
  zoom: number
}

export const STILL: Wish = { pan: 0, tilt: 0, zoom: 0 }
/** The server takes a wish for over when it is not repeated for 1.5 s. */
const REPEAT = 500

export type SteeringEnd = 'left' | 'camera_held' | 'camera_idle' | 'camera_taken_over' | 'lost' | string

interface Told {
  kind: 'held' | 'moving' | 'failed'
  moving?: boolean
  code?: string
}

export interface SteeringEvents {
  onHeld: () => void
  onMoving: (moving: boolean) => void
  /** A code of the camera's own fault: the hold goes on. */
  onFailed: (code: string) => void
  onEnd: (why: SteeringEnd) => void
}

export class Steering {
  private readonly socket: WebSocket
  private readonly events: SteeringEvents
  private wished: Wish = STILL
  private timer: ReturnType<typeof setInterval> | null = null
  private left = false

  constructor(camera: number, over: boolean, events: SteeringEvents) {
    this.events = events
    this.socket = new WebSocket(socketAddress(`/cameras/${camera}/ptz${over ? '?over=true' : ''}`))
    this.socket.onmessage = (message) => this.told(JSON.parse(message.data as string) as Told)
    this.socket.onclose = (close) => this.ended(close)
  }

  /** Move so until another wish. */
  wish(wanted: Wish): void {
    if (wanted.pan === this.wished.pan && wanted.tilt === this.wished.tilt && wanted.zoom === this.wished.zoom) return
    this.wished = wanted
    this.say()
    if (this.timer) clearInterval(this.timer)
    const still = !wanted.pan && !wanted.tilt && !wanted.zoom
    this.timer = still ? null : setInterval(() => this.say(), REPEAT)
  }

  /** Stand still and give the camera to others. */
  leave(): void {
    this.left = true
    this.wish(STILL)
    this.socket.close(1000)
  }

  private say(): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(this.wished))
  }

  private told({ kind, moving, code }: Told): void {
    if (kind === 'held') this.events.onHeld()
    else if (kind === 'moving') this.events.onMoving(moving ?? false)
    else this.events.onFailed(code ?? '')
  }

  private ended({ code, reason }: CloseEvent): void {
    if (this.timer) clearInterval(this.timer)
    this.events.onEnd(this.left || code === 1000 ? 'left' : reason || 'lost')
  }
}
