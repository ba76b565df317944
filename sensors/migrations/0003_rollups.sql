-- What the roll-ups hold. Their tables are made from the profiles, like those of the readings.
-- From `since` on the roll-up of a kind, or what it has of readings ('raw'), is complete, but for what is being rebuilt.
CREATE TABLE rollup_state (
    kind text NOT NULL,
    resolution text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (kind, resolution)
);

-- The span [low, high) of a kind is computed anew, from its end to its beginning, a piece a transaction.
CREATE TABLE rollup_rebuild (
    kind text PRIMARY KEY,
    low timestamptz NOT NULL,
    high timestamptz NOT NULL
);

-- All that the log held at `through` is rolled up.
CREATE TABLE rollup_pass (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    through timestamptz NOT NULL
);
