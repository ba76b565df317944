// The one way to the HTTP API: same origin, session cookie, CSRF header on writes, one error class.

const ROOT = '/api/v1'

/** An answer other than 2xx, or none at all: `code` is the API's stable word, `network` where no answer came. */
export class ApiError extends Error {
  readonly code: string
  readonly status: number
  readonly hint: string
  /** Paths of the fields at fault (`body.arguments.minutes`), of `invalid_input` only. */
  readonly fields: string[]
  /** The same with what is wrong, for a page that has words for it. */
  readonly faults: FieldFault[]

  constructor(code: string, message: string, status: number, hint = '', faults: FieldFault[] = []) {
    super(message)
    this.name = 'ApiError'
    this.code = code
    this.status = status
    this.hint = hint
    this.faults = faults
    this.fields = faults.map((one) => one.field)
  }
}

export interface FieldFault {
  field: string
  code: string
  values: Record<string, string>
  message: string
}

type Query = Record<string, string | number | null | undefined | string[]>

let csrf = ''
let onUnauthorised: () => void = () => undefined
let onServerDate: (milliseconds: number) => void = () => undefined

export function setCsrf(token: string): void {
  csrf = token
  // Another person may be logged in: what one was told is not kept for the next.
  kept.clear()
}

/** Called when the session is over: the router then shows the log-in. */
export function whenUnauthorised(callback: () => void): void {
  onUnauthorised = callback
}

/** Called with the server's Date header of every answer, which has a resolution of one second. */
export function whenServerDate(callback: (milliseconds: number) => void): void {
  onServerDate = callback
}

export function address(path: string, query: Query = {}): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === '') continue
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one))
  }
  const text = parameters.toString()
  return `${ROOT}${path}${text ? `?${text}` : ''}`
}

/** Address of a WebSocket of the same host and port as the page. */
export function socketAddress(path: string): string {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
  return `${scheme}://${location.host}${ROOT}${path}`
}

/** The JSON of an answer; one that is cut off, or that a portal in between wrote, is no answer at all. */
async function json<T>(response: Response): Promise<T> {
  try {
    return (await response.json()) as T
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError('network', String(error), 0)
  }
}

async function failure(response: Response): Promise<ApiError> {
  let code = 'internal'
  let message = `HTTP ${response.status}`
  let hint = ''
  let faults: FieldFault[] = []
  if (response.headers.get('content-type')?.includes('json')) {
    const body = await json<{ error?: { code?: string; message?: string; hint?: string; fields?: FieldFault[] } }>(response)
    code = body.error?.code ?? code
    message = body.error?.message ?? message
    hint = body.error?.hint ?? ''
    faults = body.error?.fields ?? []
  }
  return new ApiError(code, message, response.status, hint, faults)
}

async function ask(
  method: string,
  path: string,
  query: Query,
  body: unknown,
  signal?: AbortSignal,
  more: Record<string, string> = {},
): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json', ...more }
  const file = body instanceof Blob
  if (body !== undefined) headers['Content-Type'] = file ? body.type || 'application/octet-stream' : 'application/json'
  if (method !== 'GET') headers['X-CSRF-Token'] = csrf
  let response: Response
  try {
    response = await fetch(address(path, query), {
      method,
      headers,
      body: body === undefined ? undefined : file ? body : JSON.stringify(body),
      credentials: 'same-origin',
      signal,
    })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError('network', String(error), 0)
  }
  const date = Date.parse(response.headers.get('date') ?? '')
  if (!Number.isNaN(date)) onServerDate(date)
  if (!response.ok && response.status !== 304) {
    if (response.status === 401 && path !== '/session') onUnauthorised()
    throw await failure(response)
  }
  return response
}

async function call<T>(method: string, path: string, query: Query, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await ask(method, path, query, body, signal)
  return response.status === 204 ? (undefined as T) : json<T>(response)
}

/** The bytes behind an address, with their media type. */
export const download = async (path: string): Promise<Blob> => (await ask('GET', path, {}, undefined)).blob()

/** Answers to what is asked again and again, by address, with their tags. */
const kept = new Map<string, { etag: string; value: unknown }>()
const MOST_KEPT = 30

/** `get` of something that is asked for again and again: what has not changed is neither sent nor read again. */
export async function getAgain<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const key = address(path, query)
  const before = kept.get(key)
  const response = await ask('GET', path, query, undefined, signal, before ? { 'If-None-Match': before.etag } : {})
  if (response.status === 304 && before) return before.value as T
  const value = await json<T>(response)
  const etag = response.headers.get('etag')
  kept.delete(key)
  if (etag !== null) kept.set(key, { etag, value })
  for (const oldest of kept.keys()) {
    if (kept.size <= MOST_KEPT) break
    kept.delete(oldest)
  }
  return value
}

export const get = <T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> =>
  call<T>('GET', path, query, undefined, signal)
export const post = <T>(path: string, body: unknown): Promise<T> => call<T>('POST', path, {}, body)
/** A write that may be sent again under its key without being done twice. */
export const postOnce = async <T>(path: string, body: unknown, key: string): Promise<T> =>
  json<T>(await ask('POST', path, {}, body, undefined, { 'Idempotency-Key': key }))
/** A file sent once under its key, with the share (0 to 1) that has left so far: `fetch` cannot tell that. */
export function upload<T>(path: string, query: Query, file: Blob, key: string, progress: (share: number) => void, signal?: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const lost = (): void => reject(new ApiError('network', 'no answer', 0))
    request.open('POST', address(path, query))
    const headers = { Accept: 'application/json', 'Content-Type': 'application/octet-stream', 'X-CSRF-Token': csrf, 'Idempotency-Key': key }
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    request.upload.onprogress = (event) => progress(event.total ? event.loaded / event.total : 0)
    request.onerror = request.ontimeout = lost
    request.onabort = () => reject(new DOMException('aborted', 'AbortError'))
    request.onload = () => {
      const type = request.getResponseHeader('content-type') ?? ''
      const answer = new Response(request.responseText, { status: request.status, headers: { 'content-type': type } })
      if (answer.ok) return void json<T>(answer).then(resolve, reject)
      if (request.status === 401) onUnauthorised()
      failure(answer).then(reject, reject)
    }
    signal?.addEventListener('abort', () => request.abort())
    request.send(file)
  })
}
/** A key that nobody has used; also where the page came over plain HTTP and the browser has no randomUUID. */
export const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
export const put = <T>(path: string, body: unknown): Promise<T> => call<T>('PUT', path, {}, body)
export const remove = <T>(path: string): Promise<T> => call<T>('DELETE', path, {}, undefined)
/** A write that is refused (`stale`) where the thing is no longer as it was read; without an etag it makes a new one. */
export const putAsRead = async <T>(path: string, body: unknown, etag: string | null): Promise<T> =>
  json<T>(await ask('PUT', path, {}, body, undefined, etag === null ? { 'If-None-Match': '*' } : { 'If-Match': etag }))
/** The same of a step that answers nothing. */
export const postAsRead = async (path: string, body: unknown, etag: string): Promise<void> => {
  await ask('POST', path, {}, body, undefined, { 'If-Match': etag })
}
