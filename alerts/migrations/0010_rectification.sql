-- Hazards followed until reviewed (隐患整改): an order, its rounds, its history.
CREATE TABLE rectification (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number text NOT NULL UNIQUE,                    -- 整改通知单编号: site, year, running number
    site_id integer NOT NULL REFERENCES site,
    source text NOT NULL CHECK (source IN ('alert', 'inspection', 'free')),
    alert_id bigint REFERENCES alert,
    level text NOT NULL CHECK (level IN ('minor', 'general', 'serious')),
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    location text NOT NULL DEFAULT '',
    requirement text NOT NULL,
    unit_id integer REFERENCES unit,                -- responsible unit
    person_id integer NOT NULL REFERENCES person,   -- responsible person
    state text NOT NULL CHECK (state IN ('ordered', 'rectifying', 'submitted', 'returned', 'passed', 'withdrawn')),
    version integer NOT NULL DEFAULT 1,             -- grows with every step
    rounds integer NOT NULL DEFAULT 0,              -- submissions
    ordered_at timestamptz NOT NULL,
    ordered_by text NOT NULL,
    term_from timestamptz NOT NULL,                 -- since when the time to the deadline runs
    deadline_at timestamptz NOT NULL,
    submitted_at timestamptz,                       -- of the last submission
    submitted_by text,
    closed_at timestamptz,                          -- passed or withdrawn
    listed_at timestamptz,                          -- under listed supervision (挂牌督办)
    stop_work_at timestamptz,                       -- work is stopped since (停工)
    stop_work_scope text NOT NULL DEFAULT '',
    CHECK (deadline_at > term_from),
    CHECK ((alert_id IS NULL) = (source <> 'alert'))
);
CREATE UNIQUE INDEX rectification_alert ON rectification (alert_id) WHERE state <> 'withdrawn';
CREATE INDEX rectification_site ON rectification (site_id, id DESC);
CREATE INDEX rectification_open ON rectification (deadline_at) WHERE closed_at IS NULL;

CREATE TABLE rectification_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rectification_id bigint NOT NULL REFERENCES rectification ON DELETE CASCADE,
    at timestamptz NOT NULL,
    version integer NOT NULL,                       -- of the order after it
    kind text NOT NULL,                             -- alerts.rectification.model.Kind
    actor text NOT NULL,                            -- a person's code, or 'clock'
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX rectification_event_of ON rectification_event (rectification_id, id);

CREATE TABLE rectification_photo (
    rectification_id bigint NOT NULL REFERENCES rectification ON DELETE CASCADE,
    sha256 text NOT NULL REFERENCES evidence,
    uploaded_at timestamptz NOT NULL,
    uploaded_by text NOT NULL,
    event_id bigint REFERENCES rectification_event, -- the step that shows it; NULL: not used yet
    PRIMARY KEY (rectification_id, sha256)
);
CREATE INDEX rectification_photo_of ON rectification_photo (sha256);

-- Writes that were done, by the key that their caller chose: sent again they change nothing.
CREATE TABLE rectification_request (
    actor text NOT NULL,
    key text NOT NULL,
    digest text NOT NULL,                           -- of what was asked for
    rectification_id bigint,
    at timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX rectification_request_at ON rectification_request (at);

-- Reminders and escalations by the share of the time that is over.
CREATE TABLE rectification_reminder (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rectification_id bigint NOT NULL REFERENCES rectification ON DELETE CASCADE,
    share double precision NOT NULL,
    due_at timestamptz NOT NULL,
    roles text[] NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'told', 'cancelled')),
    reason text NOT NULL DEFAULT '',                -- of a cancellation: submitted, closed, new_deadline, later_one
    settled_at timestamptz
);
CREATE INDEX rectification_reminder_due ON rectification_reminder (due_at) WHERE state = 'waiting';
CREATE INDEX rectification_reminder_of ON rectification_reminder (rectification_id);

-- Messages are about an alert or an order.
ALTER TABLE notification ALTER COLUMN alert_id DROP NOT NULL,
    ADD COLUMN rectification_id bigint REFERENCES rectification ON DELETE CASCADE,
    ADD CONSTRAINT notification_is_about_something CHECK (num_nonnulls(alert_id, rectification_id) = 1);
CREATE UNIQUE INDEX notification_order_once ON notification (rectification_id, phase, step, person_id, channel)
    WHERE rectification_id IS NOT NULL;
ALTER TABLE notification DROP CONSTRAINT notification_phase_check;
ALTER TABLE notification ADD CONSTRAINT notification_phase_check
    CHECK (phase IN ('raised', 'severity', 'cleared', 'reminder', 'escalated', 'ordered', 'submitted', 'returned',
                     'passed', 'overdue', 'listed', 'stop_work', 'resumed', 'withdrawn', 'deadline'));
