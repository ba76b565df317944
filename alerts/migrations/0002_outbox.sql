-- The outbox: written in the transaction of the alert's transition.
CREATE TABLE delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alert,
    target text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('raise', 'end')),
    amendment integer NOT NULL DEFAULT 0,
    idempotency_key text NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('held', 'pending', 'accepted', 'validated', 'rejected', 'config_error', 'uncertain', 'dead', 'withdrawn')),
    reason text NOT NULL DEFAULT '',                -- why it is in this state
    payload jsonb NOT NULL,                         -- canonical event; the adapter maps it
    attempts integer NOT NULL DEFAULT 0,
    pending_since timestamptz NOT NULL,             -- when it became due for the first time; giving up counts from here
    next_attempt_at timestamptz,                    -- of the next send, or when accepted of the next poll; NULL: none
    leased_by bigint,                               -- the worker that is at it, by its advisory lock; dead: lock gone
    leased_until timestamptz,
    in_doubt_since timestamptz,                     -- receivers without keys: set before a send, cleared by a definite answer
    receipt text,                                   -- the regulator's number of an asynchronous result
    created_at timestamptz NOT NULL,
    accepted_at timestamptz,
    validated_at timestamptz,
    UNIQUE (alert_id, target, phase, amendment)
);
CREATE INDEX delivery_due ON delivery (target, next_attempt_at) WHERE state IN ('pending', 'accepted');
CREATE INDEX delivery_alert ON delivery (alert_id);

CREATE TABLE delivery_attempt (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id bigint NOT NULL REFERENCES delivery ON DELETE CASCADE,
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('send', 'poll')),
    status integer,                                 -- HTTP status; NULL: no answer
    outcome text NOT NULL,                          -- accepted, validated, rejected, temporary, config_error, no_reply, ...
    error text NOT NULL DEFAULT '',
    request jsonb NOT NULL DEFAULT '{}',            -- secrets masked
    response text NOT NULL DEFAULT '',              -- cut at 2 KB
    duration_ms real
);
CREATE INDEX delivery_attempt_delivery ON delivery_attempt (delivery_id, id);

CREATE TABLE notification (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alert,
    phase text NOT NULL CHECK (phase IN ('raised', 'cleared', 'reminder', 'escalated')),
    person_id integer NOT NULL REFERENCES person,
    channel text NOT NULL,                          -- scheme of the contact, no secret
    state text NOT NULL CHECK (state IN ('pending', 'sent', 'withheld', 'failed')),
    reason text NOT NULL,                           -- why it is sent or withheld: alerts.notices.Reason
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    leased_by bigint,                               -- as in delivery
    leased_until timestamptz,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    error text NOT NULL DEFAULT '',
    UNIQUE (alert_id, phase, person_id, channel)
);
CREATE INDEX notification_sent ON notification (person_id, sent_at) WHERE state = 'sent';
CREATE INDEX notification_due ON notification (next_attempt_at) WHERE state = 'pending';
