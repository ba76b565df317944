-- The row of a file outlives the file: what its digest was, and why the file is not there.
ALTER TABLE evidence ADD COLUMN removed_at timestamptz;
ALTER TABLE evidence ADD COLUMN removed_for text
    CHECK (removed_for IN ('age', 'space', 'not_stored')),  -- not_stored: the disk was full or away when it came
    ADD CHECK ((removed_at IS NULL) = (removed_for IS NULL));
CREATE INDEX evidence_kept ON evidence (created_at) WHERE removed_at IS NULL;
