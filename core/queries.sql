-- log_append --
-- Parameters: writer, shards smallint[], kinds smallint[], payloads bytea[]; entries keep the order of the arrays.
-- The upsert locks each stream's row until commit, so that its sequence has no gap and shows in commit order.
WITH incoming AS (
    SELECT shard, kind, payload,
           row_number() OVER (PARTITION BY shard ORDER BY place) AS nth,
           count(*) OVER (PARTITION BY shard) AS n
    FROM unnest(%(shards)s::smallint[], %(kinds)s::smallint[], %(payloads)b::bytea[])
        WITH ORDINALITY AS t (shard, kind, payload, place)
), stream AS (
    INSERT INTO log_stream (writer, shard, last)
    SELECT DISTINCT %(writer)s, shard, n FROM incoming ORDER BY shard
    ON CONFLICT (writer, shard) DO UPDATE SET last = log_stream.last + excluded.last
    RETURNING shard, last
)
INSERT INTO log_entry (writer, shard, sequence, kind, payload)
SELECT %(writer)s, i.shard, s.last - i.n + i.nth, i.kind, i.payload
FROM incoming i JOIN stream s USING (shard)

-- log_ring --
SELECT pg_notify('smartsite_log', %(writer)s)

-- log_streams --
SELECT writer, shard, last FROM log_stream

-- log_cursors --
SELECT writer, shard, sequence FROM log_cursor WHERE reader = %(reader)s

-- log_register --
INSERT INTO log_reader (reader) VALUES (%(reader)s) ON CONFLICT DO NOTHING

-- log_read --
-- What lies behind the given positions; streams that are not given are read from their start.
SELECT e.writer, e.shard, e.sequence, e.kind, e.written_at, e.payload
FROM log_stream s
LEFT JOIN unnest(%(writers)s::text[], %(shards)s::smallint[], %(sequences)s::bigint[]) AS p (writer, shard, sequence)
    USING (writer, shard)
CROSS JOIN LATERAL (
    SELECT * FROM log_entry e
    WHERE e.writer = s.writer AND e.shard = s.shard AND e.sequence > coalesce(p.sequence, 0)
    ORDER BY e.sequence LIMIT %(limit)s
) e
WHERE s.last > coalesce(p.sequence, 0) AND (%(only)s::smallint[] IS NULL OR s.shard = ANY (%(only)s::smallint[]))
-- Streams take turns, so that the limit cuts every stream at its end and never in its middle.
ORDER BY e.sequence - coalesce(p.sequence, 0), e.written_at
LIMIT %(limit)s

-- log_commit --
INSERT INTO log_cursor (reader, writer, shard, sequence)
SELECT %(reader)s, * FROM unnest(%(writers)s::text[], %(shards)s::smallint[], %(sequences)s::bigint[])
ON CONFLICT (reader, writer, shard) DO UPDATE SET sequence = excluded.sequence
WHERE log_cursor.sequence < excluded.sequence

-- log_trim_read --
-- Drop what every registered reader has read. A reader without a cursor on a stream has read nothing of it.
-- Without any registered reader a short tail is kept for live readers.
DELETE FROM log_entry e USING (
    SELECT s.writer, s.shard, min(coalesce(c.sequence, 0)) AS sequence
    FROM log_stream s
    CROSS JOIN log_reader r
    LEFT JOIN log_cursor c ON c.reader = r.reader AND c.writer = s.writer AND c.shard = s.shard
    GROUP BY s.writer, s.shard
) done
WHERE e.writer = done.writer AND e.shard = done.shard AND e.sequence <= done.sequence
  AND e.written_at < %(before)s

-- log_size --
SELECT pg_total_relation_size('log_entry'), coalesce(sum(octet_length(payload)), 0) FROM log_entry

-- log_disk --
SELECT pg_total_relation_size('log_entry')

-- log_trim_oldest --
-- Over the cap the oldest entries go, read or not: readers that find a gap replay the tables.
DELETE FROM log_entry WHERE (writer, shard, sequence) IN (
    SELECT writer, shard, sequence FROM (
        SELECT writer, shard, sequence,
               sum(octet_length(payload)) OVER (ORDER BY written_at DESC, writer, shard, sequence) AS kept
        FROM log_entry
    ) ordered WHERE kept > %(max_bytes)s
)

-- log_lag --
SELECT r.reader, coalesce(sum(s.last - coalesce(c.sequence, 0)), 0)::bigint
FROM log_reader r CROSS JOIN log_stream s
LEFT JOIN log_cursor c ON c.reader = r.reader AND c.writer = s.writer AND c.shard = s.shard
GROUP BY r.reader

-- evidence_record --
-- Its age counts from its last use; the row stays locked until the caller's commit, so that nothing removes the file.
INSERT INTO evidence (sha256, media_type, bytes) VALUES (%(sha256)s, %(media_type)s, %(bytes)s)
ON CONFLICT (sha256) DO UPDATE SET created_at = excluded.created_at, removed_at = NULL, removed_for = NULL

-- evidence_record_lost --
INSERT INTO evidence (sha256, media_type, bytes, removed_at, removed_for)
VALUES (%(sha256)s, %(media_type)s, %(bytes)s, clock_timestamp(), 'not_stored') ON CONFLICT DO NOTHING

-- worker_beat --
INSERT INTO worker (name, room, host, pid, started_at, beat_at, detail)
VALUES (%(name)s, %(room)s, %(host)s, %(pid)s, %(started_at)s, %(beat_at)s, %(detail)s)
ON CONFLICT (name) DO UPDATE SET room = excluded.room, host = excluded.host, pid = excluded.pid,
    started_at = excluded.started_at, beat_at = excluded.beat_at, detail = excluded.detail

-- worker_gone --
DELETE FROM worker WHERE name = %(name)s AND pid = %(pid)s AND host = %(host)s

-- schedule_lock --
-- One process at a time works, whichever process of whichever machine gets the lock; it goes with its connection.
SELECT pg_try_advisory_lock(%(key)s)

-- job_run_put --
INSERT INTO job_run (job, schedule, holder, started_at, ended_at, outcome, result, error, next_run_at, every_s, failures)
VALUES (%(job)s, %(schedule)s, %(holder)s, %(started_at)s, %(ended_at)s, %(outcome)s, %(result)s, %(error)s,
        %(next_run_at)s, %(every_s)s, %(failed)s)
ON CONFLICT (job) DO UPDATE SET schedule = excluded.schedule, holder = excluded.holder,
    started_at = excluded.started_at, ended_at = excluded.ended_at, outcome = excluded.outcome,
    result = CASE WHEN excluded.result = '' AND excluded.outcome = 'ok' THEN job_run.result ELSE excluded.result END,
    error = excluded.error, next_run_at = excluded.next_run_at, every_s = excluded.every_s,
    runs = job_run.runs + 1, failures = job_run.failures + excluded.failures

-- job_runs --
SELECT job, schedule, holder, started_at, ended_at, outcome, result, error, next_run_at, every_s, runs, failures
FROM job_run ORDER BY schedule, job
