-- Rules that people write on the platform. Of each rule the newest revision counts: it stands in place of the files' rule of
-- its id, or beside them; one without a text gives the word back to the files.
CREATE TABLE rule_written (
    rule text NOT NULL,
    revision integer NOT NULL,                      -- from 1, without a gap
    text text,                                      -- TOML with this one rule; NULL: withdrawn
    reason text NOT NULL,
    written_by text NOT NULL,                       -- a person's code
    written_at timestamptz NOT NULL,
    PRIMARY KEY (rule, revision)
);
-- The newest trial on history that each person asked for: api asks, an alerts worker claims and answers.
CREATE TABLE rule_trial (
    asked_by text PRIMARY KEY,                      -- a person's code
    asked_at timestamptz NOT NULL,
    text text NOT NULL,                             -- TOML, the rules that are tried
    rules text[] NOT NULL,                          -- their ids
    site text,                                      -- code; NULL: all sites
    starts_at timestamptz NOT NULL,                 -- [starts_at, ends_at) of the readings' own time
    ends_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,                    -- no sign of life by then: nobody works at it
    worker text,                                    -- who claimed it
    started_at timestamptz,
    progress real NOT NULL DEFAULT 0,               -- 0 to 1
    ended_at timestamptz,
    error text NOT NULL DEFAULT '',                 -- code of what kept it from being made
    report jsonb
);
