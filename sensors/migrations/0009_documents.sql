-- Documents of a site (工地资料): permits, plans, contracts, drawings, certificates. The file lies in the evidence store;
-- what is withdrawn stays in the list, its file until `released_at`.
CREATE TABLE site_document (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    kind text NOT NULL CHECK (kind IN ('construction_permit', 'dust_plan', 'safety_plan', 'contract', 'drawing',
                                       'certificate', 'test_report', 'other')),
    kind_text text NOT NULL DEFAULT '',             -- own words for what is none of them
    title text NOT NULL CHECK (title <> ''),
    file_name text NOT NULL CHECK (file_name <> ''),
    media_type text NOT NULL,                       -- by the content
    bytes bigint NOT NULL CHECK (bytes > 0),
    sha256 text NOT NULL REFERENCES evidence,
    valid_until date,                               -- last day, by the site's clock; NULL: without end
    note text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,             -- grows with every change
    uploaded_at timestamptz NOT NULL,
    uploaded_by text NOT NULL,                      -- a person's code
    changed_at timestamptz,
    changed_by text,
    withdrawn_at timestamptz,
    withdrawn_by text,
    withdrawn_reason text,
    released_at timestamptz,                        -- from then on the file may be removed as old evidence is
    request_key text NOT NULL,                      -- the same upload sent again is the same document
    request_digest text NOT NULL,
    UNIQUE (uploaded_by, request_key),
    CHECK ((kind = 'other') = (kind_text <> '')),
    CHECK ((changed_at IS NULL) = (changed_by IS NULL)),
    CHECK ((withdrawn_at IS NULL) = (withdrawn_by IS NULL) AND (withdrawn_at IS NULL) = (withdrawn_reason IS NULL)),
    CHECK (released_at IS NULL OR withdrawn_at IS NOT NULL)
);
CREATE INDEX site_document_site ON site_document (site_id, id DESC);
CREATE INDEX site_document_file ON site_document (sha256);
