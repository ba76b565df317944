-- Why, for programs: a stable code and its facts beside the words.
ALTER TABLE linkage_decision ADD COLUMN code text NOT NULL DEFAULT '', ADD COLUMN facts jsonb NOT NULL DEFAULT '{}';

-- An alert for which nothing is switched is told, too.
ALTER TABLE linkage_decision DROP CONSTRAINT linkage_decision_decision_check;
ALTER TABLE linkage_decision ADD CONSTRAINT linkage_decision_decision_check
    CHECK (decision IN ('on', 'off', 'handed_over', 'paused', 'resumed', 'failed', 'withheld'));
ALTER TABLE linkage_device ADD COLUMN withheld_alert bigint NOT NULL DEFAULT 0;  -- alerts up to here were answered

-- The last word of a person about the automatics of a device.
CREATE TABLE linkage_override (
    device_id integer PRIMARY KEY REFERENCES device ON DELETE CASCADE,
    by text NOT NULL,               -- the person's code
    at timestamptz NOT NULL,
    until timestamptz NOT NULL      -- hands off until then; not after at: given back
);
