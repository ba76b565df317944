// Draws a frame and its boxes on a canvas that has the frame's size.
import type { Box } from '@/video/frames'

const COLOUR: Record<string, string> = { helmet: '#36d399', head: '#ff5d5d' }
const OTHER = '#7cc4ff'

/** `names` maps a detector's label to the user's word for it. */
export function drawFrame(
  canvas: HTMLCanvasElement,
  picture: ImageBitmap,
  boxes: Box[],
  names: Record<string, string>,
): void {
  fit(canvas, picture)
  canvas.getContext('2d')?.drawImage(picture, 0, 0)
  drawBoxes(canvas, boxes, names)
}

/** Gives a canvas the size of the picture under it, and empties it where that is another one. */
export function fit(canvas: HTMLCanvasElement, { width, height }: { width: number; height: number }): void {
  if (canvas.width === width && canvas.height === height) return
  canvas.width = width
  canvas.height = height
}

/** Draws boxes over what the canvas shows. */
export function drawBoxes(canvas: HTMLCanvasElement, boxes: Box[], names: Record<string, string>): void {
  const pen = canvas.getContext('2d')
  if (!pen) return
  // Line and letters grow with the picture, which the page scales to its own width.
  const stroke = Math.max(2, canvas.width / 320)
  const letter = Math.max(12, canvas.width / 48)
  pen.font = `600 ${letter}px sans-serif`
  pen.textBaseline = 'top'
  for (const box of boxes) drawBox(pen, box, names[box.label] ?? box.label, stroke, letter)
}

function drawBox(pen: CanvasRenderingContext2D, box: Box, name: string, stroke: number, letter: number): void {
  const { width, height } = pen.canvas
  const x = box.x1 * width
  const y = box.y1 * height
  const colour = COLOUR[box.label] ?? OTHER
  pen.lineWidth = stroke
  pen.strokeStyle = colour
  // A bare head is dashed as well as red: the two states differ without their colours.
  pen.setLineDash(box.label === 'head' ? [stroke * 4, stroke * 2] : [])
  pen.strokeRect(x, y, (box.x2 - box.x1) * width, (box.y2 - box.y1) * height)
  pen.setLineDash([])
  const text = `${name} ${Math.round(box.score * 100)}%`
  const tall = letter * 1.35
  const top = y - tall < 0 ? y : y - tall
  pen.fillStyle = colour
  pen.fillRect(x - stroke / 2, top, pen.measureText(text).width + letter * 0.7, tall)
  pen.fillStyle = '#081018'
  pen.fillText(text, x + letter * 0.3, top + letter * 0.17)
}
