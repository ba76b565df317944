// One function a route of the API.
import { address, get, getAgain, post, postOnce, put, putAsRead, remove, upload } from '@/api/client'
import type {
  Assignee,
  Alert,
  AlertDetail,
  Automatic,
  BaseMap,
  Camera,
  CameraPreset,
  Checklist,
  Control,
  Device,
  DeviceCommand,
  DocumentFacts,
  DocumentPage,
  Inspection,
  InspectionDetail,
  ItemResult,
  Kind,
  Mark,
  Mute,
  NewMute,
  NewOrder,
  NewPermit,
  NewRota,
  OrderCounts,
  Page,
  Period,
  Ptz,
  Permit,
  QuarantineRow,
  Rectification,
  RectificationDetail,
  Report,
  Rota,
  SeriesAnswer,
  Session,
  Severity,
  Site,
  SiteDetail,
  SiteDocument,
  SitePeople,
  Statistic,
  SystemStatus,
  Verdict,
  Ways,
} from '@/api/types'

export const api = {
  session: (signal?: AbortSignal) => get<Session>('/session', {}, signal),
  logIn: (login: string, password: string) => post<Session>('/session', { login, password }),
  ways: () => get<Ways>('/session/ways'),
  logOut: () => remove<void>('/session'),
  changePassword: (old: string, wanted: string) => put<{ sessions_ended: number }>('/session/password', { old, new: wanted }),

  sites: () => get<{ items: Site[] }>('/sites'),
  site: (id: number) => get<SiteDetail>(`/sites/${id}`),
  baseMap: () => get<BaseMap>('/map'),
  kinds: () => get<{ items: Kind[] }>('/kinds'),
  devices: () => get<{ items: Device[] }>('/devices'),
  ptz: (camera: number) => get<Ptz>(`/cameras/${camera}/ptz`),
  presets: (camera: number) => get<{ items: CameraPreset[] }>(`/cameras/${camera}/ptz/presets`),
  savePreset: (camera: number, name: string) => post<CameraPreset>(`/cameras/${camera}/ptz/presets`, { name }),
  goToPreset: (camera: number, preset: string) => post<void>(`/cameras/${camera}/ptz/presets/${encodeURIComponent(preset)}/go`, {}),
  cameras: () => get<{ items: Camera[] }>('/cameras'),

  series: (
    device: number,
    query: { channel: string[]; start: number; end: number; points: number },
    signal?: AbortSignal,
  ) =>
    get<SeriesAnswer>(
      `/devices/${device}/series`,
      { ...query, start: Math.round(query.start), end: Math.round(query.end) },
      signal,
    ),

  statistics: (
    device: number,
    query: { period: Period; metric: string; limit: number },
    signal?: AbortSignal,
  ) => get<Page<Statistic>>(`/devices/${device}/statistics`, query, signal),

  alerts: (
    query: { state: 'open' | 'all'; site_id?: number; severity?: string; mine?: string; limit?: number; cursor?: string },
    signal?: AbortSignal,
  ) => get<Page<Alert>>('/alerts', query, signal),
  alert: (id: number, signal?: AbortSignal) => getAgain<AlertDetail>(`/alerts/${id}`, {}, signal),
  acknowledgeMany: (ids: number[], comment: string) =>
    post<{ done: number[]; refused: { id: number; code: string; message: string }[] }>('/alerts/acknowledge', { ids, comment }),
  acknowledge: (id: number, comment: string, key: string) => postOnce<unknown>(`/alerts/${id}/acknowledge`, { comment }, key),
  review: (id: number, verdict: Verdict, reason: string, seen: 'helmet' | 'nothing' | null) =>
    post<unknown>(`/alerts/${id}/review`, { verdict, reason, seen }),

  comment: (id: number, comment: string, key: string) => postOnce<unknown>(`/alerts/${id}/comments`, { comment }, key),
  assignees: (id: number) => get<Assignee[]>(`/alerts/${id}/assignees`),
  assign: (id: number, person: string | null) => put<unknown>(`/alerts/${id}/assignee`, { person }),

  setSeverity: (id: number, severity: Severity, reason: string) =>
    put<unknown>(`/alerts/${id}/severity`, { severity, reason }),
  clear: (id: number, comment: string) => post<unknown>(`/alerts/${id}/clear`, { comment }),
  /** Those in force or to come that cover a site. */
  mutes: (site: number) => getAgain<Mute[]>('/mutes', { site_id: site, state: ['active', 'coming'], limit: 500 }),
  mute: (mute: NewMute) => post<Mute>('/mutes', mute),
  endMute: (id: number) => remove<Mute>(`/mutes/${id}`),
  permits: (site: number) => getAgain<Permit[]>(`/sites/${site}/permits`, { limit: 500 }),
  enterPermit: (site: number, permit: NewPermit) => post<Permit>(`/sites/${site}/permits`, permit),
  withdrawPermit: (id: number) => remove<Permit>(`/permits/${id}`),
  documents: (site: number, query: { kind?: string; withdrawn?: string; due?: string; before?: number | null; limit: number }) =>
    getAgain<DocumentPage>(`/sites/${site}/documents`, query),
  uploadDocument: (site: number, facts: DocumentFacts, file: File, key: string, progress: (share: number) => void, signal: AbortSignal) =>
    upload<SiteDocument>(`/sites/${site}/documents`, { ...facts, file_name: file.name }, file, key, progress, signal),
  changeDocument: (site: number, id: number, facts: DocumentFacts, etag: string) =>
    putAsRead<SiteDocument>(`/sites/${site}/documents/${id}`, facts, etag),
  withdrawDocument: (site: number, id: number, reason: string) =>
    post<SiteDocument>(`/sites/${site}/documents/${id}/withdraw`, { reason }),
  resend: (delivery: number) => post<unknown>(`/deliveries/${delivery}/resend`, {}),
  confirmDelivery: (delivery: number, reason: string) => post<unknown>(`/deliveries/${delivery}/confirm`, { reason }),

  control: (site: number) => getAgain<Control>(`/sites/${site}/control`),
  order: (device: number, order: { name: string; arguments: Record<string, number | string>; cause: string }) =>
    post<DeviceCommand>(`/devices/${device}/commands`, order),
  takeOver: (device: number, minutes: number) => put<Automatic>(`/devices/${device}/override`, { minutes }),
  giveBack: (device: number) => remove<Automatic>(`/devices/${device}/override`),

  rectifications: (
    query: { state?: string[]; site_id?: number; overdue?: string; mine?: string; before?: number; limit?: number },
    signal?: AbortSignal,
  ) => get<{ items: Rectification[]; next: number | null }>('/rectifications', query, signal),
  rectification: (id: number, signal?: AbortSignal) => get<RectificationDetail>(`/rectifications/${id}`, {}, signal),
  orderRectification: (order: NewOrder, key: string) => postOnce<RectificationDetail>('/rectifications', order, key),
  rectify: (id: number, step: string, body: object, key: string) =>
    postOnce<RectificationDetail>(`/rectifications/${id}/${step}`, body, key),
  uploadPhoto: (id: number, photo: Blob) => post<{ sha256: string }>(`/rectifications/${id}/photos`, photo),
  orderStatistics: (query: { by: 'site' | 'unit'; since: number }) => get<{ rows: OrderCounts[] }>('/rectifications/statistics', query),
  reports: (query: { kind?: string; site_id?: number; before?: number; limit?: number }) =>
    get<{ items: Report[]; next: number | null }>('/reports', query),
  report: (id: number) => get<Report>(`/reports/${id}`),
  rota: (site: number) => getAgain<Rota>(`/sites/${site}/rota`),
  replaceRota: (site: number, rota: NewRota) => put<Rota>(`/sites/${site}/rota`, rota),
  people: (site: number) => get<SitePeople>(`/sites/${site}/people`),

  checklists: () => get<{ items: Checklist[] }>('/inspections/checklists'),
  inspections: (query: { site_id?: number; state?: string; before?: number; limit?: number }, signal?: AbortSignal) =>
    get<{ items: Inspection[]; next: number | null }>('/inspections', query, signal),
  inspection: (id: number, signal?: AbortSignal) => get<InspectionDetail>(`/inspections/${id}`, {}, signal),
  beginInspection: (site_id: number, checklist: string, key: string) =>
    postOnce<InspectionDetail>('/inspections', { site_id, checklist }, key),
  judgeItem: (id: number, position: number, said: { version: number; result: ItemResult; note: string }) =>
    put<InspectionDetail>(`/inspections/${id}/items/${position}`, said),
  lookThrough: (id: number, camera_id: number) => post<InspectionDetail>(`/inspections/${id}/looks`, { camera_id }),
  takePicture: (id: number, camera_id: number, key: string) =>
    postOnce<InspectionDetail>(`/inspections/${id}/pictures`, { camera_id }, key),
  markPicture: (id: number, picture: number, said: { version: number; marks: Mark[]; note: string; position: number | null }) =>
    put<InspectionDetail>(`/inspections/${id}/pictures/${picture}`, said),
  dropPicture: (id: number, picture: number, version: number) =>
    remove<InspectionDetail>(`/inspections/${id}/pictures/${picture}?version=${version}`),
  fileFinding: (id: number, finding: Omit<NewOrder, 'site_id' | 'alert_id' | 'source'> & { version: number; position: number | null; pictures: number[] }, key: string) =>
    postOnce<InspectionDetail>(`/inspections/${id}/findings`, finding, key),
  endInspection: (id: number, how: 'finish' | 'cancel', said: object) =>
    post<InspectionDetail>(`/inspections/${id}/${how}`, said),

  system: () => getAgain<SystemStatus>('/system'),
  quarantine: (cursor?: string) => get<Page<QuarantineRow>>('/quarantine', { limit: 50, cursor }),
}

export const evidenceAddress = (sha256: string): string => address(`/evidence/${sha256}`)
export const documentAddress = (site: number, id: number): string => address(`/sites/${site}/documents/${id}/file`)
export const reportAddress = (id: number, format: 'html' | 'csv', language: string): string =>
  address(`/reports/${id}/file`, { format, language })
export const snapshotAddress = (camera: number, turn: number): string =>
  address(`/cameras/${camera}/snapshot.jpg`, { t: turn })
export const inspectionReportAddress = (inspection: number, download = false): string =>
  address(`/inspections/${inspection}/report`, download ? { download: 'true' } : {})
export const exportAddress = (device: number, query: { start: number; end: number; resolution: string }): string =>
  address(`/devices/${device}/export`, { ...query, start: Math.round(query.start), end: Math.round(query.end) })
