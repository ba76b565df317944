-- Tokens of machines. Each acts for the person who made it: it may what both of them may.
CREATE TABLE api_token (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id integer NOT NULL REFERENCES person ON DELETE CASCADE,
    name text NOT NULL,
    token_sha256 text NOT NULL UNIQUE,              -- the token itself is shown once and kept nowhere
    rights text[] NOT NULL,                         -- of api/permissions.py; reading needs none
    sites integer[],                                -- NULL: all that the person sees
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_by text,
    last_used_at timestamptz,                       -- to the minute
    CHECK (created_at < expires_at)
);
-- A form that is sent twice makes one token.
CREATE UNIQUE INDEX api_token_name ON api_token (person_id, name) WHERE revoked_at IS NULL;

-- Guesses at one log-in from many addresses.
CREATE INDEX login_failure_login ON login_failure (login, at);
