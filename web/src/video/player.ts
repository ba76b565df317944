// Plays fragmented MP4 as it comes, near its newest picture, and tells when the picture that is shown was taken.

/** Seconds behind the newest picture: what is usual, where playing goes a little faster, where it jumps. */
const USUAL = 0.3
const LATE = 0.8
const TOO_LATE = 2
const HASTE = 1.08
/** Seconds of the past that are kept, and after how many they are let go at once. */
const KEPT = 4
const MOST = 12

export const mediaType = (codec: string): string => `video/mp4; codecs="${codec}"`

/** Whether this browser plays a stream of its own making; without a codec: any H.264. */
export function playable(codec = 'avc1.42e01e'): boolean {
  return typeof MediaSource !== 'undefined' && MediaSource.isTypeSupported(mediaType(codec))
}

interface Mark {
  at: number
  time: number
}

/** The time of what is shown `current` seconds into the MP4, by the newest mark before it; null where none is. */
export function timeOf(marks: Mark[], current: number): number | null {
  const mark = marks.findLast((one) => one.at <= current)
  return mark ? mark.time + (current - mark.at) * 1000 : null
}

/** Where to play: `current` stays unless it lies in no buffered stretch or too far behind the end of the last one. */
export function follow(current: number, start: number, end: number): { seek: number | null; rate: number } {
  if (current < start || end - current > TOO_LATE) return { seek: Math.max(start, end - USUAL), rate: 1 }
  return { seek: null, rate: end - current > LATE ? HASTE : 1 }
}

export class Player {
  private readonly video: HTMLVideoElement
  private readonly onFault: (error: unknown) => void
  private source: MediaSource | null = null
  private buffer: SourceBuffer | null = null
  private address = ''
  private queue: Uint8Array<ArrayBuffer>[] = []
  private marks: Mark[] = []

  /** `onFault` is called where the browser gives the stream up; the next `begin` starts anew. */
  constructor(video: HTMLVideoElement, onFault: (error: unknown) => void) {
    this.video = video
    this.onFault = onFault
    video.addEventListener('error', () => this.address && this.onFault(this.video.error?.message ?? ''))
  }

  /** Begin an MP4. */
  begin(codec: string, bytes: Uint8Array<ArrayBuffer>): void {
    this.stop()
    const source = (this.source = new MediaSource())
    this.queue = [bytes]
    source.addEventListener('sourceopen', () => {
      if (source !== this.source || this.buffer) return
      this.buffer = source.addSourceBuffer(mediaType(codec))
      this.buffer.addEventListener('updateend', () => this.guard(() => this.step()))
      this.guard(() => this.step())
    })
    this.video.src = this.address = URL.createObjectURL(source)
  }

  /** Go on with a fragment that begins `at` seconds into the MP4 with a picture of `time`. */
  add(bytes: Uint8Array<ArrayBuffer>, at: number, time: number): void {
    if (!this.source) return
    this.queue.push(bytes)
    this.marks = [...this.marks.filter((mark) => mark.at > at - MOST), { at, time }]
    this.guard(() => this.step())
  }

  /** When the picture that is shown was taken, ms since the epoch. */
  shownAt(): number | null {
    return this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA ? timeOf(this.marks, this.video.currentTime) : null
  }

  stop(): void {
    this.source = this.buffer = null
    this.queue = []
    this.marks = []
    if (!this.address) return
    URL.revokeObjectURL(this.address)
    this.address = ''
    this.video.removeAttribute('src')
    this.video.load()
  }

  private guard(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.stop()
      this.onFault(error)
    }
  }

  /** Does the next thing that the buffer can take. */
  private step(): void {
    const { buffer, video } = this
    if (!buffer || buffer.updating) return
    const { buffered } = buffer
    if (buffered.length && video.currentTime - buffered.start(0) > MOST) {
      buffer.remove(0, video.currentTime - KEPT)
      return
    }
    const next = this.queue.shift()
    if (next) buffer.appendBuffer(next)
    this.keepUp(buffered)
  }

  private keepUp(buffered: TimeRanges): void {
    const { video } = this
    const last = buffered.length - 1
    if (last < 0 || video.seeking) return
    const { seek, rate } = follow(video.currentTime, buffered.start(last), buffered.end(last))
    if (seek !== null) video.currentTime = seek
    video.playbackRate = rate
    if (video.paused) {
      void video.play().catch((error: unknown) => {
        // A new beginning interrupts the play before: that is no fault.
        if (!(error instanceof DOMException && error.name === 'AbortError')) this.onFault(error)
      })
    }
  }
}
