-- A target may be switched off by a person: its deliveries wait. Beside it what its page tells of the last failure.
ALTER TABLE target_state
    ADD COLUMN off_since timestamptz,               -- switched off since then; NULL: on
    ADD COLUMN switched_by text NOT NULL DEFAULT '',        -- a person's code, of the last switch
    ADD COLUMN switch_reason text NOT NULL DEFAULT '',
    ADD COLUMN failed_at timestamptz,               -- the last call without an answer, or with a failure
    ADD COLUMN failed_reason text NOT NULL DEFAULT '';
CREATE INDEX delivery_target_accepted ON delivery (target, accepted_at) WHERE accepted_at IS NOT NULL;
-- The newest test call of each target that was asked for: api asks, a delivery worker claims and answers.
CREATE TABLE target_check (
    target text PRIMARY KEY,
    asked_at timestamptz NOT NULL,
    asked_by text NOT NULL,                         -- a person's code
    due_at timestamptz NOT NULL,                    -- nobody has claimed it, or answered, by then: nobody will
    worker text,                                    -- who claimed it
    started_at timestamptz,
    ended_at timestamptz,
    report jsonb
);
