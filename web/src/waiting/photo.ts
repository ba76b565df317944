// Photos as they leave the phone: large ones are scaled once, and the scaled one is what is kept and sent.

/** Bytes up to which a photo is sent as it is; the server writes it anew in any case. */
const AS_IT_IS = 4 * 1024 * 1024
/** Longer side in pixels of a scaled photo. */
const LONGEST = 2560
const QUALITY = 0.88

/** The photo, scaled if it is large; a file that the browser cannot read as a picture goes on as it is, to be refused. */
export async function forSending(file: Blob): Promise<Blob> {
  if (file.size <= AS_IT_IS) return file
  let picture: ImageBitmap
  try {
    picture = await createImageBitmap(file, { imageOrientation: 'from-image' })
  } catch {
    return file
  }
  const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height))
  const canvas = document.createElement('canvas')
  canvas.width = Math.round(picture.width * scale)
  canvas.height = Math.round(picture.height * scale)
  canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height)
  picture.close()
  return new Promise((done, failed) =>
    canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error('the photo cannot be scaled'))), 'image/jpeg', QUALITY),
  )
}
