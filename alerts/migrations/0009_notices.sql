-- Messages beyond the raise and the end: escalations by step, in digests, red ones first.
ALTER TABLE notification ADD COLUMN step integer NOT NULL DEFAULT 0,
    ADD COLUMN priority smallint NOT NULL DEFAULT 1,       -- place of the severity: 0 info ... 3 critical, which goes first
    ADD COLUMN digest boolean NOT NULL DEFAULT false,      -- gathered with others of the person and channel
    ADD COLUMN message text NOT NULL DEFAULT '';           -- rows that went out as one message have the same
ALTER TABLE notification DROP CONSTRAINT notification_phase_check;
ALTER TABLE notification ADD CONSTRAINT notification_phase_check
    CHECK (phase IN ('raised', 'severity', 'cleared', 'reminder', 'escalated'));
ALTER TABLE notification DROP CONSTRAINT notification_alert_id_phase_person_id_channel_key;
CREATE UNIQUE INDEX notification_once ON notification (alert_id, phase, step, person_id, channel);
DROP INDEX notification_due;
CREATE INDEX notification_due ON notification (priority DESC, next_attempt_at, id) WHERE state = 'pending';
CREATE INDEX notification_waiting ON notification (person_id, channel, id) WHERE state = 'pending';

-- Steps of the escalation table that an alert may take; written with its raise.
CREATE TABLE escalation (
    alert_id bigint NOT NULL REFERENCES alert ON DELETE CASCADE,
    step smallint NOT NULL,                         -- 1, 2, ... in the order of their times
    due_at timestamptz NOT NULL,
    roles text[] NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'told', 'cancelled')),
    reason text NOT NULL DEFAULT '',                -- of a cancellation: acknowledged, over, false_alarm
    settled_at timestamptz,
    PRIMARY KEY (alert_id, step)
);
CREATE INDEX escalation_due ON escalation (due_at) WHERE state = 'waiting';

-- What the workers know together of an address that takes messages: its calls of the last minute, its failures.
CREATE TABLE channel_gate (
    endpoint text PRIMARY KEY,                      -- scheme and a digest of the address: an address may hold a token
    calls timestamptz[] NOT NULL DEFAULT '{}',
    failures integer NOT NULL DEFAULT 0,            -- in a row
    paused_until timestamptz,
    reason text NOT NULL DEFAULT ''                 -- of the last failure
);

-- Who is on duty on a site, as alerts.notices.duty.Rota; one document, replaced as a whole.
CREATE TABLE rota (
    site_id integer PRIMARY KEY REFERENCES site ON DELETE CASCADE,
    version integer NOT NULL,
    definition jsonb NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL
);

-- Keys that sign links; made by the first process that needs one.
CREATE TABLE signing_key (
    purpose text PRIMARY KEY,
    key bytea NOT NULL,
    created_at timestamptz NOT NULL
);
