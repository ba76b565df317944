-- Remote inspections (远程巡查): a checklist, pictures of cameras with marks, findings, a signed report.
CREATE TABLE inspection (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number text NOT NULL UNIQUE,                    -- XC-site-year-running number
    site_id integer NOT NULL REFERENCES site,
    checklist text NOT NULL,
    name text NOT NULL,                             -- of the checklist, as it was at the beginning
    name_en text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'finished', 'cancelled')),
    version integer NOT NULL DEFAULT 1,             -- grows with every step
    begun_at timestamptz NOT NULL,
    begun_by text NOT NULL,                         -- a person's code: the inspector
    request_key text NOT NULL,                      -- the same beginning sent again is the same inspection
    ended_at timestamptz,
    conclusion text NOT NULL DEFAULT '',
    report_sha256 text REFERENCES evidence,
    CHECK ((state = 'open') = (ended_at IS NULL)),
    UNIQUE (begun_by, request_key)
);
CREATE INDEX inspection_site ON inspection (site_id, id DESC);

CREATE TABLE inspection_item (
    inspection_id bigint NOT NULL REFERENCES inspection ON DELETE CASCADE,
    position integer NOT NULL,
    code text NOT NULL,
    title text NOT NULL,
    title_en text NOT NULL,
    requirement text NOT NULL DEFAULT '',           -- what an order would ask for
    result text NOT NULL DEFAULT 'open' CHECK (result IN ('open', 'pass', 'fail', 'not_applicable')),
    note text NOT NULL DEFAULT '',
    PRIMARY KEY (inspection_id, position)
);

CREATE TABLE inspection_look (
    inspection_id bigint NOT NULL REFERENCES inspection ON DELETE CASCADE,
    camera_id integer NOT NULL REFERENCES camera,
    at timestamptz NOT NULL,                        -- first looked through
    PRIMARY KEY (inspection_id, camera_id)
);

CREATE TABLE inspection_picture (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    inspection_id bigint NOT NULL REFERENCES inspection ON DELETE CASCADE,
    camera_id integer NOT NULL REFERENCES camera,
    taken_at timestamptz NOT NULL,
    plain_sha256 text NOT NULL REFERENCES evidence, -- as it was taken
    sha256 text NOT NULL REFERENCES evidence,       -- with the marks drawn in
    marks jsonb NOT NULL DEFAULT '[]',              -- alerts.inspection.marks.Mark
    note text NOT NULL DEFAULT '',
    position integer,                               -- of the item that it shows
    rectification_id bigint REFERENCES rectification,
    request_key text NOT NULL,
    UNIQUE (inspection_id, request_key)
);

CREATE TABLE inspection_finding (
    inspection_id bigint NOT NULL REFERENCES inspection ON DELETE CASCADE,
    rectification_id bigint NOT NULL UNIQUE REFERENCES rectification ON DELETE CASCADE,
    position integer,                               -- of the item that failed
    PRIMARY KEY (inspection_id, rectification_id)
);
