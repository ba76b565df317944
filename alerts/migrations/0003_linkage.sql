-- What linkages hold of the devices that they switch; one row a device, whichever linkages look at it.
CREATE TABLE linkage_device (
    device_id integer PRIMARY KEY REFERENCES device ON DELETE CASCADE,
    linkage text NOT NULL,                          -- the owner: by which it was switched on, or kept on
    is_on boolean NOT NULL,
    since timestamptz NOT NULL,                     -- of is_on
    relieved_at timestamptz,                        -- since when nothing asks for it any more
    rest_until timestamptz,                         -- not switched on before
    paused_until timestamptz,                       -- somebody switched it by hand
    off_command text NOT NULL,
    command_id bigint REFERENCES command ON DELETE SET NULL,  -- the last one given
    seen_command bigint NOT NULL DEFAULT 0          -- commands of people up to here were looked at
);

-- Why something was switched, or not.
CREATE TABLE linkage_decision (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    linkage text NOT NULL,
    device_id integer NOT NULL REFERENCES device ON DELETE CASCADE,
    decision text NOT NULL CHECK (decision IN ('on', 'off', 'handed_over', 'paused', 'resumed', 'failed')),
    reason text NOT NULL,
    alert_id bigint REFERENCES alert ON DELETE SET NULL,
    command_id bigint REFERENCES command ON DELETE SET NULL
);
CREATE INDEX linkage_decision_device ON linkage_decision (device_id, id DESC);
