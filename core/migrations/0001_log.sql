-- The log: append-only batches, written in the transaction of the rows they announce.
-- A stream is (writer, shard); its sequence is gapless because the stream row is locked until commit.
CREATE TABLE log_stream (
    writer text NOT NULL,
    shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 15),
    last bigint NOT NULL,
    PRIMARY KEY (writer, shard)
);

CREATE TABLE log_entry (
    writer text NOT NULL,
    shard smallint NOT NULL,
    sequence bigint NOT NULL,
    kind smallint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    payload bytea NOT NULL,
    PRIMARY KEY (writer, shard, sequence)
);
-- Payloads are compact columns already: compressing them again only costs CPU.
ALTER TABLE log_entry ALTER COLUMN payload SET STORAGE EXTERNAL;

-- A registered reader holds back trimming; its cursor is the last sequence it has dealt with.
CREATE TABLE log_reader (
    reader text PRIMARY KEY,
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE log_cursor (
    reader text NOT NULL REFERENCES log_reader ON DELETE CASCADE,
    writer text NOT NULL,
    shard smallint NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (reader, writer, shard)
);
