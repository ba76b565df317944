// What the API under /api/v1 answers. Times are milliseconds since the epoch, UTC; boxes are shares of the frame, 0..1.

export type Language = 'zh' | 'en'
export type Severity = 'info' | 'warning' | 'major' | 'critical'
export type SiteState = 'green' | 'yellow' | 'red' | 'grey'
export type Verdict = 'confirmed' | 'false_alarm'

/** Whether a camera can be moved, and who moves it. */
export interface Ptz {
  able: boolean
  reason: string | null
  pan_tilt: boolean
  zoom: boolean
  holder: { by: string; by_name: string; by_name_en: string; role: string; since: number; yours: boolean; may_take: boolean } | null
}

export interface CameraPreset {
  token: string
  name: string
}

/** What is drawn below the sites; `url` is a template of tiles or the address of a PMTiles file. */
export interface BaseMap {
  kind: 'own' | 'tiles' | 'raster_file' | 'vector_file'
  url: string
  credit: string
  deepest_zoom: number
  fault: 'missing' | 'no_pmtiles' | null
}

export interface Named {
  name: string
  name_en: string
}

export interface Labelled {
  label: string
  label_en: string
}

/** What a role may do beyond reading. */
export type Right = 'acknowledge' | 'review' | 'command' | 'system' | 'permit' | 'documents' | 'rota' | 'original' | 'ptz' | 'preset' | 'order' | 'rectify' | 'supervise'
  | 'registry' | 'rules' | 'targets' | 'people' | 'tokens' | 'audit'

export interface Person extends Named {
  id: number
  code: string
  role: string
  language: Language
  all_sites: boolean
  sites: number[]
  rights: Right[]
  /** False: enters through the provider alone. */
  has_password: boolean
}

/** How one may log in beside a password: the words of the button, null where there is none. */
export interface Ways {
  oidc: string | null
  oidc_en: string | null
}

export interface Session {
  /** Cursor for the live channel: what is read from now on and what comes after it leave nothing out. */
  live: string
  person: Person
  csrf: string
}

export interface Reason {
  code: string
  zh: string
  en: string
}

export interface Availability {
  total: number
  online: number
}

export interface Unit extends Named {
  role: 'builder' | 'contractor' | 'supervisor'
}

export interface Site extends Named {
  id: number
  code: string
  address: string
  latitude: number | null
  longitude: number | null
  time_zone: string
  stage: string
  state: SiteState
  reason: Reason
  devices: Availability
  cameras: Availability
  open_alerts: Record<Severity, number>
  units: Unit[]
}

export interface SiteDetail extends Omit<Site, 'devices' | 'cameras'> {
  devices: Device[]
  cameras: Camera[]
}

/** One state of an enumeration; its number in readings is its place in the list. */
export interface EnumSymbol {
  name: string
  label: string
  label_en: string
}

export interface Channel {
  name: string
  label: string
  label_en: string
  unit: string
  type: 'real' | 'double' | 'bigint' | 'enum'
  minimum: number | null
  maximum: number | null
  symbols?: EnumSymbol[]
}

/** What a command needs to know: a number within bounds, or one of the symbols. */
export interface Argument {
  name: string
  type: 'real' | 'bigint' | 'enum'
  label: string
  label_en: string
  unit: string
  minimum: number | null
  maximum: number | null
  required: boolean
  symbols: EnumSymbol[]
}

/** A command that devices of a kind take. */
export interface Instruction {
  name: string
  label: string
  label_en: string
  arguments: Argument[]
}

export interface Kind extends Named {
  kind: string
  channels: Channel[]
  commands: Instruction[]
}

export interface DeviceCommand {
  id: number
  device_id: number
  name: string
  arguments: Record<string, unknown>
  state: 'queued' | 'sent' | 'done' | 'failed' | 'expired'
  /** A person's code, or linkage:<id>. */
  requested_by: string
  requested_by_name: string
  requested_by_name_en: string
  cause: string
  requested_at: number
  expires_at: number
  sent_at: number | null
  delivered_at: number | null
  replied_at: number | null
  /** Why the platform gave it up; empty: it did not. */
  reason: string
  reply: string | null
}

export interface LinkageFacts extends Named {
  id: string
  pause_s: number
}

/** How a device stands with the linkages that switch it. */
export interface Automatic {
  linkages: LinkageFacts[]
  state: 'idle' | 'on' | 'off' | 'resting' | 'paused'
  linkage: string | null
  since: number | null
  until: number | null
  override: { by: string; by_name: string; by_name_en: string; until: number } | null
}

export interface Controlled {
  device_id: number
  commands: DeviceCommand[]
  automatic: Automatic | null
}

export interface Decision {
  id: number
  at: number
  linkage: string
  linkage_name: string
  linkage_name_en: string
  device_id: number
  decision: 'on' | 'off' | 'handed_over' | 'paused' | 'resumed' | 'failed' | 'withheld'
  code: string
  facts: Record<string, number | string>
  reason: string
  by_name: string
  by_name_en: string
  alert_id: number | null
  rule_name: string
  rule_name_en: string
}

/** The downlink of a site. */
export interface Control {
  devices: Controlled[]
  decisions: Decision[]
}

/** A value and its HJ 212 quality letter: N is normal. */
export interface Reading {
  value: number | null
  quality: string
}

export interface Limit {
  raise_above?: number | null
  raise_below?: number | null
  severity?: Severity
}

/** What a device's running numbers say of readings that never came. */
export interface Sequence {
  since: number
  received: number
  missing: number
  late: number
  repeated: number
  restarts: number
  gap_at: number | null
}

export type Period = 'minute' | 'hour' | 'day'

/** What a station computed of one metric over one period, beside our roll-up of the same time. */
export interface Statistic {
  time: number
  metric: string
  mean: number | null
  minimum: number | null
  maximum: number | null
  total: number | null
  quality: string
  ours: { mean: number | null; minimum: number | null; maximum: number | null; valid: number } | null
  deviation: number | null
  deviates: boolean | null
}

export interface Device extends Named {
  id: number
  site_id: number
  code: string
  kind: string
  online: boolean | null
  last_time: number | null
  last_seen_at: number | null
  sequence: Sequence | null
  computes: boolean
  values: Record<string, Reading>
  limits: Record<string, Limit>
}

export interface Camera extends Named {
  id: number
  site_id: number
  code: string
  zone: string
  state: string
  reason: string
  since: number | null
  fps: number | null
  frames_analysed: number | null
  figures: CameraFigures | null
}

/** How a camera is read. */
export interface CameraFigures {
  message: string
  codec: string
  width: number
  height: number
  key_interval_s: number
  keys_only: boolean
  frames_in: number
  frames_gated: number
  frames_skipped: number
  frames_corrupt: number
  decode_ms: number
  inference_ms: number
  conditions: ('night' | 'noisy' | 'hazy')[]
}

export interface Alert {
  id: number
  rule: string
  rule_name: { zh: string; en: string }
  rule_kind: string
  severity: Severity
  site_id: number
  site_name: string
  site_name_en: string
  subject: { type: 'device' | 'camera'; id: number; code: string } & Named
  metric: string
  unit: string
  started_at: number
  raised_at: number
  ended_at: number | null
  cleared_at: number | null
  cleared_by: string | null
  acknowledged_at: number | null
  acknowledged_by: string | null
  assignee: string | null
  assignee_name: string | null
  assignee_name_en: string | null
  severity_by: string | null
  verdict: Verdict | null
  reviewed_at: number | null
  reviewed_by: string | null
  first_value: number | null
  last_value: number | null
  max_value: number | null
  limit_value: number | null
  quality: Record<string, unknown>
  frame_sha256: string | null
  crop_sha256: string | null
  frame_shown_sha256: string | null
  crop_shown_sha256: string | null
  deliveries_summary: { accepted: number; pending: number; failed: number }
}

/** Someone who may deal with an alert. */
export interface Assignee extends Named {
  code: string
}

export interface AlertEvent {
  id: number
  at: number
  kind: string
  actor: string
  actor_name: string | null
  actor_name_en: string | null
  assignee_name: string | null
  assignee_name_en: string | null
  detail: Record<string, unknown>
}

export interface Delivery {
  id: number
  target: string
  phase: string
  state: string
  reason: string
  attempts: number
  receipt: string | null
  created_at: number
  accepted_at: number | null
  validated_at: number | null
  /** Since when a person has the regulator switched off. */
  target_off_since: number | null
}

export interface Notification {
  id: number
  person: string
  person_name: string
  person_name_en: string
  channel: string
  phase: string
  state: string
  reason: string
  error: string
  attempts: number
  created_at: number
  sent_at: number | null
}

/** One look at a person; `time` is in microseconds. */
export interface Vote {
  time: number
  score: number
  bare: boolean
}

export interface EvidenceFile {
  role: 'frame' | 'crop' | 'frame_shown' | 'crop_shown' | 'clip'
  sha256: string
  media_type: string
  bytes: number
  removed_for: 'age' | 'space' | 'not_stored' | null
  first_at: number | null
  last_at: number | null
}

/** A vision episode with what proves it. */
export interface Sighting {
  id: number
  /** no_helmet, intrusion or post_unmanned. */
  kind: string
  started_at: number
  last_seen_at: number
  ended_at: number | null
  zone: string
  peak_score: number
  votes: Vote[]
  /** From the deciding vote to the end, thinned in long episodes. */
  history: Vote[]
  model: string
  files: EvidenceFile[]
}

export interface AlertDetail extends Alert {
  sightings: Sighting[]
  events: AlertEvent[]
  deliveries: Delivery[]
  notifications: Notification[]
}

export interface Page<T> {
  items: T[]
  next: string | null
}

export interface Series {
  time: number[]
  value: (number | null)[]
  minimum?: (number | null)[]
  maximum?: (number | null)[]
}

export interface SeriesAnswer {
  device_id: number
  start: number
  end: number
  series: Record<string, Series>
  source: 'raw' | '1m' | '15m' | '1h' | '1d'
  bucket_ms: number | null
}

export interface Worker {
  name: string
  room: string
  pid: number
  started_at: number
  beat_at: number
  healthy: boolean
}

export interface SystemStatus {
  workers: Worker[]
  counts: Record<string, number>
  log: { streams: number; lag: number }
}

export interface QuarantineRow {
  id: number
  arrived_at: number
  source: string
  device_id: number | null
  device: string | null
  client: string
  topic: string
  reason: string
  detail: string
  payload: string
  payload_bytes: number
}

/** One message of the live WebSocket: `hello` with the present state, then only what changed since the one before. */
export interface LiveMessage {
  type: 'hello' | 'batch'
  /** The server's clock. */
  time: number
  /** Where this message ends: who comes back with it gets what came after. */
  cursor: string
  /** Of `hello`: what was missed follows; otherwise everything has to be read again. */
  resumed?: boolean
  readings?: { device_id: number; site_id: number; time: number; values: Record<string, Reading> }[]
  alerts?: Alert[]
  sites?: (Partial<Site> & { id: number })[]
  devices?: (Partial<Device> & { id: number })[]
  cameras?: (Partial<Camera> & { id: number })[]
}

/** Of a rectification order; the reviewer acts in `submitted`, nobody any more in `passed` and `withdrawn`. */
export type OrderState = 'ordered' | 'rectifying' | 'submitted' | 'returned' | 'passed' | 'withdrawn'
export type OrderLevel = 'minor' | 'general' | 'serious'

export interface CodeNamed extends Named {
  code: string
}

export interface Rectification {
  id: number
  number: string
  site_id: number
  site_name: string
  site_name_en: string
  source: 'alert' | 'inspection' | 'free'
  alert_id: number | null
  level: OrderLevel
  title: string
  description: string
  location: string
  requirement: string
  unit: CodeNamed | null
  person: CodeNamed
  state: OrderState
  version: number
  rounds: number
  ordered_at: number
  ordered_by: string
  ordered_by_name: string
  ordered_by_name_en: string
  term_from: number
  deadline_at: number
  overdue: boolean
  submitted_at: number | null
  closed_at: number | null
  listed_at: number | null
  stop_work_at: number | null
  stop_work_scope: string
}

export interface OrderEvent {
  id: number
  at: number
  version: number
  kind: string
  actor: string
  actor_name: string | null
  actor_name_en: string | null
  detail: Record<string, unknown>
}

export interface OrderPhoto {
  sha256: string
  uploaded_at: number
  uploaded_by: string
  event_id: number | null
}

export interface RectificationDetail extends Rectification {
  events: OrderEvent[]
  photos: OrderPhoto[]
}

export interface NewOrder {
  site_id: number
  alert_id?: number
  source?: 'inspection' | 'free'
  level: OrderLevel
  title: string
  location: string
  requirement: string
  person: string
  unit: string | null
}

/** A report of a day or a week; `site_id` null: of all sites. Shares are 0 to 1, null where there is nothing to share. */
export interface Report {
  id: number
  kind: 'daily' | 'weekly'
  site_id: number | null
  first_day: string
  last_day: string
  alerts: number
  critical: number
  minutes: number
  delivered: number | null
  open_orders: number
  overdue_orders: number
  available: number | null
  cameras_online: number | null
}

/** Orders of a site or a responsible unit (`key` null: none was named), given in a period. */
export interface OrderCounts extends Named {
  key: number | null
  ordered: number
  passed: number
  withdrawn: number
  /** Past their deadline, with nothing to review. */
  overdue: number
  /** Overdue now, or submitted after their deadline. */
  late: number
  states: Record<OrderState, number>
  mean_hours: number | null
}

export interface SitePeople {
  people: (CodeNamed & { role: string; unit: string | null })[]
  companies: (CodeNamed & { role: string })[]
}

export interface NewMute {
  /** null: all sites. */
  site_id: number | null
  /** Only what is found at this device or camera; neither: at all of the site. */
  device_id?: number | null
  camera_id?: number | null
  /** Pattern of rule ids. */
  rule: string
  ends_at: number
  reason: string
}

/** A time in which nobody is told of what some rules find. */
export interface Mute extends NewMute {
  id: number
  starts_at: number
  made_by: string
  made_by_name: string
  made_by_name_en: string
  ended_by: string | null
}

export interface NewPermit {
  /** What rules name it by. */
  kind: string
  reference: string
  starts_at: number
  ends_at: number
  source: string
}

/** What exempts a site from rules for a time. */
export interface Permit extends NewPermit {
  id: number
  site_id: number
  withdrawn: boolean
}

export const DOCUMENT_KINDS = ['construction_permit', 'dust_plan', 'safety_plan', 'contract', 'drawing', 'certificate', 'test_report', 'other'] as const

/** What a person says of a document; `valid_until` is a day of the site's clock, `YYYY-MM-DD`. */
export interface DocumentFacts {
  kind: (typeof DOCUMENT_KINDS)[number]
  /** Own words for it, of `other` only. */
  kind_text: string
  title: string
  valid_until: string | null
  note: string
}

export interface SiteDocument extends DocumentFacts {
  id: number
  file_name: string
  bytes: number
  validity: 'unlimited' | 'valid' | 'due' | 'expired'
  days_left: number | null
  uploaded_at: number
  uploaded_by: string
  uploaded_by_name: string | null
  uploaded_by_name_en: string | null
  withdrawn_at: number | null
  withdrawn_by: string | null
  withdrawn_by_name: string | null
  withdrawn_by_name_en: string | null
  withdrawn_reason: string | null
  file_kept: boolean
  etag: string
}

export interface DocumentLimits {
  max_bytes: number
  types: string[]
}

export interface DocumentPage {
  items: SiteDocument[]
  next: number | null
  /** Over or ending soon, of the whole site. */
  due: number
  limits: DocumentLimits
}

/** Who is on duty when, by the site's clock; times are `HH:MM:SS`, days `YYYY-MM-DD`. */
export interface Rota {
  version: number
  shifts: { person: string; weekdays: number[]; starts: string; ends: string; first_day: string | null; last_day: string | null }[]
  changes: { day: string; person: string | null; substitute: string | null; starts: string | null; ends: string | null; note: string }[]
  on_duty: string[]
}

/** `version` is that of the rota that it was made from. */
export type NewRota = Pick<Rota, 'version' | 'shifts' | 'changes'>

export interface Checklist extends Named {
  id: string
  items: { code: string; title: string; title_en: string; requirement: string }[]
}

export type InspectionState = 'open' | 'finished' | 'cancelled'
export type ItemResult = 'open' | 'pass' | 'fail' | 'not_applicable'

/** `name` is the checklist's. */
export interface Inspection extends Named {
  id: number
  number: string
  site_id: number
  site_name: string
  site_name_en: string
  checklist: string
  state: InspectionState
  version: number
  begun_at: number
  begun_by: string
  begun_by_name: string | null
  begun_by_name_en: string | null
  ended_at: number | null
  conclusion: string
  report_sha256: string | null
  items: number
  judged: number
  failed: number
  findings: number
}

export interface InspectionItem {
  position: number
  code: string
  title: string
  title_en: string
  requirement: string
  result: ItemResult
  note: string
}

/** Points are shares of the picture's width and height. */
export interface Mark {
  shape: 'box' | 'arrow' | 'stroke'
  points: [number, number][]
}

export interface InspectionPicture {
  id: number
  camera_id: number
  camera_name: string
  camera_name_en: string
  taken_at: number
  sha256: string
  plain_sha256: string
  marks: Mark[]
  note: string
  position: number | null
  rectification_id: number | null
}

export interface InspectionFinding {
  position: number | null
  rectification_id: number
  number: string
  level: OrderLevel
  title: string
  location: string
  state: OrderState
  deadline_at: number
  person_name: string
  person_name_en: string
}

export interface InspectionDetail extends Inspection {
  list_items: InspectionItem[]
  looks: (CodeNamed & { camera_id: number; at: number })[]
  pictures: InspectionPicture[]
  finding_orders: InspectionFinding[]
}

export interface AccountForm extends Named {
  role: string
  unit: string | null
  phone: string
  language: Language
  login: string | null
  all_sites: boolean
  sites: string[]
  enabled: boolean
}

/** A person as who administers people sees them; `etag` says which state of the row was read. */
export interface Account extends AccountForm {
  code: string
  has_password: boolean
  failures: number
  linked: boolean
  etag: string
}

export interface Token {
  id: number
  name: string
  owner: string
  owner_name: string
  owner_name_en: string
  rights: Right[]
  sites: number[] | null
  created_at: number
  expires_at: number
  revoked_at: number | null
  last_used_at: number | null
}

export interface Deed {
  id: number
  at: number
  actor: string
  actor_name: string | null
  actor_name_en: string | null
  action: string
  object: string
  detail: Record<string, unknown>
}

export type RegistryKind = 'sites' | 'devices' | 'cameras'

/** A site, device or camera as registered; which fields it has is its kind's. */
export interface Registered extends Named {
  id: number
  code: string
  site?: string
  enabled: boolean
  etag: string
  [field: string]: unknown
}

/** An option of a camera; limits that are null are none, `over` and `below` are not reached. */
export interface CameraOption extends Labelled {
  name: string
  group: string
  type: 'number' | 'integer' | 'boolean' | 'choice' | 'text'
  unit: string
  description: string
  description_en: string
  default: number | boolean | string
  choices: string[] | null
  over: number | null
  least: number | null
  below: number | null
  most: number | null
  max_length: number | null
}

export interface CameraCheckReport {
  usable: boolean
  reason: string
  message: string
  remedy: string
  codec: string
  width: number
  height: number
  fps: number
  bit_rate_mbit: number
  key_interval_s: number
  first_picture_s: number
  jitter_s: number
  corrupt: number
  boxes: { label: string; score: number }[]
  advice: { code: string; values: Record<string, string>; text: string }[]
}

export interface CameraCheck {
  state: 'none' | 'waiting' | 'running' | 'done' | 'failed' | 'unclaimed' | 'lost'
  asked_at: number | null
  asked_by: string | null
  asked_by_name: string | null
  asked_by_name_en: string | null
  error: string
  report: CameraCheckReport | null
  has_picture: boolean
}

export interface Rule {
  id: string
  name: { zh: string; en: string }
  kind: string
  severity: Severity
  enabled: boolean
  device_kind: string | null
  sites: string[]
  targets: string[]
  origin: 'pack' | 'file' | 'written'
  file: string
  line: number
  in_force: boolean
  version: number | null
  version_at: number | null
}

export interface RuleProblem {
  file: string
  line: number
  rule: string
  field: string
  reason: string
  code: string
  values: Record<string, string>
}

export interface RuleList {
  items: Rule[]
  problems: RuleProblem[]
}

/** What a person wrote on the platform; without a text they gave the word back to the files. */
export interface RuleRevision {
  revision: number
  text: string | null
  reason: string
  written_by: string
  written_by_name: string
  written_by_name_en: string
  written_at: number
}

export interface RuleDetail extends Rule {
  text: string
  file_text: string | null
  cited: string
  explanation: { zh: string; en: string }
  versions: { version: number; since: number }[]
  revisions: RuleRevision[]
  etag: string
}

export interface RuleCheck {
  problems: RuleProblem[]
  rules: { id: string; name: { zh: string; en: string }; replaces: boolean; changes: boolean; explanation: { zh: string; en: string } }[]
}

export interface RuleOutcome {
  alerts: number
  exempt: number
  devices: number
  hours: number
  days: { day: string; alerts: number }[]
}

export interface RuleTrial {
  state: 'none' | 'waiting' | 'running' | 'done' | 'failed' | 'unclaimed' | 'lost'
  asked_at: number | null
  rules: string[]
  site: string | null
  starts_at: number | null
  ends_at: number | null
  progress: number
  error: string
  report: {
    readings: number
    drafted: RuleOutcome
    current: RuleOutcome | null
    alerts: { rule: string; site: string; device: string; severity: Severity; started_at: number; ended_at: number | null; worst: number | null; limit: number | null; exempt: boolean }[]
  } | null
}

export interface Target {
  name: string
  adapter: string
  url: string
  push_on: string
  per_minute: number
  max_skew_s: number
  on: boolean
  off_since: number | null
  switched_by: string
  switched_by_name: string
  switched_by_name_en: string
  switch_reason: string
  state: 'unused' | 'answers' | 'fails' | 'silent'
  silent_since: number | null
  failures: number
  paused_until: number | null
  failed_at: number | null
  failed_reason: string
  accepted_at: number | null
  skew_s: number | null
  pending: number
  pending_since: number | null
  stopped: number
  etag: string
}

export interface TargetCheck {
  state: 'none' | 'waiting' | 'running' | 'done' | 'unclaimed' | 'lost'
  asked_at: number | null
  asked_by: string | null
  asked_by_name: string | null
  asked_by_name_en: string | null
  steps: { step: string; result: 'ok' | 'failed' | 'skipped'; code: string; values: Record<string, string>; text: string; duration_ms: number }[]
}

export interface RegistryPage {
  items: Registered[]
  next: string | null
}

export interface ImportedRow {
  /** Null: the fault is the sheet's as a whole. */
  line: number | null
  device: string
  outcome: 'created' | 'updated' | 'unchanged' | 'error'
  field: string
  code: string
  values: Record<string, string>
  message: string
}

export interface ImportResult {
  rows: ImportedRow[]
  secrets: { user: string; secret: string }[]
}
