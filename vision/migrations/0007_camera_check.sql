-- The newest check of each camera that was asked for on the page: api asks, a worker of this room claims and answers.
CREATE TABLE camera_check (
    camera_id integer PRIMARY KEY REFERENCES camera ON DELETE CASCADE,
    asked_at timestamptz NOT NULL,
    asked_by text NOT NULL,                         -- a person's code
    due_at timestamptz NOT NULL,                    -- nobody has claimed it, or answered, by then: nobody will
    worker text,                                    -- who claimed it
    started_at timestamptz,
    ended_at timestamptz,
    error text NOT NULL DEFAULT '',                 -- code of what kept the check itself from being made
    report jsonb,
    picture bytea,                                  -- JPEG with boxes
    blurred bytea                                   -- the same without faces
);
