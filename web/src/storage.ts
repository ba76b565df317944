// What this browser keeps between visits. A storage that is shut off is no reason to fail: nothing is kept then.

const PREFIX = 'smartsite.'

function guarded<T>(action: () => T, otherwise: T): T {
  try {
    return action()
  } catch (error) {
    if (error instanceof DOMException) return otherwise
    throw error
  }
}

/** The kept text, null where there is none, undefined where nothing can be kept. */
export function recall(name: string): string | null | undefined {
  return guarded(() => localStorage.getItem(PREFIX + name), undefined)
}

export function keep(name: string, value: string): void {
  guarded(() => localStorage.setItem(PREFIX + name, value), undefined)
}

export function drop(name: string): void {
  guarded(() => localStorage.removeItem(PREFIX + name), undefined)
}
