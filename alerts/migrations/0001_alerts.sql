-- A violation episode of one rule on one subject. acknowledged and cleared are independent facts.
CREATE TABLE alert (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text NOT NULL,
    rule_version integer NOT NULL,
    rule_kind text NOT NULL,                        -- threshold, window, offline, vision
    subject text NOT NULL,                          -- 'device:12' or 'camera:3'
    site_id integer NOT NULL REFERENCES site,
    device_id integer REFERENCES device,
    camera_id integer REFERENCES camera,
    metric text NOT NULL DEFAULT '',
    unit text NOT NULL DEFAULT '',
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'major', 'critical')),
    started_at timestamptz NOT NULL,                -- event time of the first violating reading or frame
    raised_at timestamptz NOT NULL,                 -- wall clock of the raise
    ended_at timestamptz,                           -- event time of the end of the violation
    cleared_at timestamptz,                         -- wall clock of the clear
    cleared_by text,                                -- NULL while open; 'auto' or a person's code
    acknowledged_at timestamptz,
    acknowledged_by text,
    verdict text CHECK (verdict IN ('confirmed', 'false_alarm')),
    reviewed_at timestamptz,
    reviewed_by text,
    first_value double precision,
    last_value double precision,
    max_value double precision,
    limit_value double precision,
    quality jsonb NOT NULL DEFAULT '{}',            -- valid share, samples
    episode_id bigint,                              -- of the vision room
    frame_sha256 text,
    crop_sha256 text,
    amendment integer NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX alert_one_open ON alert (rule, subject) WHERE cleared_at IS NULL;
CREATE INDEX alert_site_raised ON alert (site_id, raised_at DESC);
CREATE INDEX alert_raised ON alert (raised_at DESC, id DESC);
CREATE UNIQUE INDEX alert_episode ON alert (rule, episode_id) WHERE episode_id IS NOT NULL;
-- A violation is one violation, whatever reads its readings again; two people may be seen from the same moment on.
CREATE UNIQUE INDEX alert_identity ON alert (rule, subject, started_at) WHERE episode_id IS NULL;

CREATE TABLE alert_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alert ON DELETE CASCADE,
    at timestamptz NOT NULL,
    kind text NOT NULL,                             -- raised, joined, cleared, acknowledged, reviewed, commented
    actor text NOT NULL,                            -- 'engine' or a person's code
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX alert_event_alert ON alert_event (alert_id, id);

-- Every version of every rule that ever was in force.
CREATE TABLE rule_version (
    rule text NOT NULL,
    version integer NOT NULL,
    definition jsonb NOT NULL,                      -- what the rule decides, as its definition() says
    sha256 text NOT NULL,                           -- of the definition's canonical JSON
    in_force_at timestamptz NOT NULL,
    PRIMARY KEY (rule, version)
);

-- The rules that are in force now: what a process goes on with whose rule files have become unusable.
CREATE TABLE rule_in_force (
    rule text PRIMARY KEY,
    version integer NOT NULL,
    FOREIGN KEY (rule, version) REFERENCES rule_version
);

-- An alert with what its rule said when it was raised.
CREATE VIEW alert_with_rule AS
SELECT a.id, a.rule, a.rule_version, a.rule_kind,
       coalesce(v.definition ->> 'name', a.rule) AS rule_name,
       coalesce(v.definition ->> 'name_en', a.rule) AS rule_name_en,
       ARRAY(SELECT jsonb_array_elements_text(v.definition -> 'targets')) AS targets,
       coalesce((v.definition ->> 'cool_down_s')::double precision, 0) AS cool_down_s,
       a.subject, a.site_id, a.device_id, a.camera_id, a.metric, a.unit, a.severity,
       a.started_at, a.raised_at, a.ended_at, a.cleared_at, a.cleared_by,
       a.acknowledged_at, a.acknowledged_by, a.verdict, a.reviewed_at, a.reviewed_by,
       a.first_value, a.last_value, a.max_value, a.limit_value, a.quality,
       a.episode_id, a.frame_sha256, a.crop_sha256, a.amendment
FROM alert a LEFT JOIN rule_version v ON v.rule = a.rule AND v.version = a.rule_version;

-- State of the engine, written in the transaction of the transitions that came with it.
CREATE TABLE engine_snapshot (
    engine text PRIMARY KEY,
    taken_at timestamptz NOT NULL,
    state bytea NOT NULL
);
