-- What devices are told to do. A row is written by whoever wants it, sent by the ingest worker that reaches the device.
CREATE TABLE command (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id integer NOT NULL REFERENCES device ON DELETE CASCADE,
    name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    arguments jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'done', 'failed', 'expired')),
    reason text NOT NULL DEFAULT '',                -- why it is in this state, where there is something to say
    requested_by text NOT NULL,                     -- a person's code, or 'linkage:<id>'
    cause text NOT NULL DEFAULT '',                 -- why it was requested
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,                -- without a reply by then it has expired
    sent_at timestamptz,                            -- last time
    sent_by text,                                   -- the ingest worker that sent it last
    delivered_at timestamptz,                       -- PUBACK of the device, or of the broker
    replied_at timestamptz,
    reply text                                      -- what the device said beside ok
);
CREATE INDEX command_open ON command (device_id, id) WHERE state IN ('queued', 'sent');
CREATE INDEX command_device ON command (device_id, id DESC);
