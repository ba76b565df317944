CREATE TABLE episode (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    camera_id integer NOT NULL REFERENCES camera,
    site_id integer NOT NULL REFERENCES site,
    kind text NOT NULL,                             -- 'no_helmet'
    track integer NOT NULL,                         -- the tracker's number within the camera process's life
    started_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    ended_at timestamptz,
    peak_score real NOT NULL,
    votes jsonb NOT NULL DEFAULT '[]',              -- score history of the deciding vote
    zone text NOT NULL DEFAULT '',
    box real[] NOT NULL,                            -- x1, y1, x2, y2 in pixels of the frame
    frame_sha256 text NOT NULL REFERENCES evidence,
    crop_sha256 text NOT NULL REFERENCES evidence,
    model text NOT NULL
);
-- The name by which the vision worker knows an episode: a start that is sent again finds its row.
CREATE UNIQUE INDEX episode_once ON episode (camera_id, track, started_at);
CREATE INDEX episode_open ON episode (camera_id) WHERE ended_at IS NULL;
CREATE INDEX episode_started ON episode (site_id, started_at);

CREATE TABLE camera_state (
    camera_id integer PRIMARY KEY REFERENCES camera ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('starting', 'online', 'stalled', 'unreachable', 'broken', 'disabled')),
    reason text NOT NULL DEFAULT '',
    since timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    frames_in bigint NOT NULL DEFAULT 0,
    frames_analysed bigint NOT NULL DEFAULT 0,
    frames_gated bigint NOT NULL DEFAULT 0,         -- passed over by the motion gate
    detail jsonb NOT NULL DEFAULT '{}'              -- fps, decode and inference ms, size, codec
);
