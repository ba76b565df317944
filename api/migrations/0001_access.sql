CREATE TABLE session (
    token_sha256 text PRIMARY KEY,                  -- the token itself is only in the browser's cookie
    person_id integer NOT NULL REFERENCES person ON DELETE CASCADE,
    csrf text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    client text NOT NULL DEFAULT ''                 -- address
);
CREATE INDEX session_expires ON session (expires_at);

-- Failed log-ins within the look-back of the lock; older rows are deleted by the next failure.
CREATE TABLE login_failure (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    login text NOT NULL,
    address text NOT NULL
);
CREATE INDEX login_failure_address ON login_failure (address, at);

-- Every action, as a hash chain: hash = SHA-256(previous hash + canonical JSON of the row).
CREATE TABLE audit (
    id bigint PRIMARY KEY,                          -- 1, 2, 3, ... without a gap
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    previous_hash text NOT NULL,
    hash text NOT NULL
);

-- Who may see a piece of evidence follows from the alerts that show it.
CREATE INDEX alert_frame ON alert (frame_sha256) WHERE frame_sha256 IS NOT NULL;
CREATE INDEX alert_crop ON alert (crop_sha256) WHERE crop_sha256 IS NOT NULL;
