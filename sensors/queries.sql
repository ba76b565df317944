-- registry_version --
SELECT version FROM registry_version

-- registry_sites --
SELECT id, code, name, name_en, address, region_code, latitude, longitude, time_zone, stage, area_m2,
       project_code, permit_number, supervision_number, vision_policy, vision_auto_score, enabled
FROM site ORDER BY code

-- registry_units --
SELECT id, code, name, name_en, credit_code FROM unit ORDER BY code

-- registry_site_units --
SELECT site_id, unit_id, role FROM site_unit ORDER BY site_id, role, unit_id

-- registry_people --
SELECT id, code, name, name_en, role, unit_id, phone, language, contacts, login, all_sites, enabled,
       ARRAY(SELECT site_id FROM person_site WHERE person_id = person.id) AS sites
FROM person ORDER BY code

-- registry_devices --
-- A device of a disabled site is disabled with it.
SELECT d.id, d.site_id, s.code AS site, d.code, d.kind, d.name, d.name_en, d.secret_hash, d.record_number, d.factory,
       d.latitude, d.longitude, d.clock_offset_ms, d.interval_s, d.tags, d.mn, d.protocol_options,
       d.enabled AND s.enabled AS enabled
FROM device d JOIN site s ON s.id = d.site_id ORDER BY s.code, d.code

-- registry_cameras --
SELECT c.id, c.site_id, c.code, c.name, c.name_en, c.url, c.zone, c.options, c.latitude, c.longitude,
       c.enabled AND s.enabled AS enabled
FROM camera c JOIN site s ON s.id = c.site_id ORDER BY s.code, c.code

-- registry_permits --
SELECT id, site_id, kind, reference, starts_at, ends_at, source FROM permit WHERE enabled ORDER BY starts_at, id

-- registry_stages --
SELECT site_id, stage, nullif(since, '-infinity') AS since FROM site_stage ORDER BY site_id, site_stage.since

-- tables_lock_timeout --
SELECT set_config('lock_timeout', %(timeout)s, true)

-- tables_columns --
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute
WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped

-- tables_timescaledb --
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')

-- tables_make_hypertable --
-- The primary key serves the queries, the default index on time alone would only cost.
SELECT create_hypertable(%(table)s::regclass, by_range('time', %(week)s::interval), create_default_indexes => false)

-- tables_is_partitioned --
SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(%(table)s)

-- tables_partitions --
SELECT c.relname
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(%(table)s)

-- tables_drop_chunks --
SELECT drop_chunks(%(table)s::regclass, older_than => %(before)s::timestamptz)

-- tables_trim --
DELETE FROM {table} WHERE time < %(before)s

-- tables_wants_columnstore --
-- Whether it has none yet and the edition of TimescaleDB has columnstores; the view lists every hypertable.
SELECT current_setting('timescaledb.license') = 'timescale' AND EXISTS (
    SELECT FROM timescaledb_information.hypertable_columnstore_settings
    WHERE hypertable = to_regclass(%(table)s) AND segmentby IS NULL
)

-- tables_enable_columnstore --
ALTER TABLE {table} SET (
    timescaledb.enable_columnstore, timescaledb.segmentby = 'device_id', timescaledb.orderby = 'time DESC'
)

-- tables_columnstore_policy --
CALL add_columnstore_policy(%(table)s::regclass, after => %(after)s::interval, if_not_exists => true)

-- tables_wants_batch --
-- Not where somebody has set it already, nor where the server's limit is lower (it was 1000 once).
SELECT EXISTS (
    SELECT FROM pg_settings
    WHERE name = 'timescaledb.compression_batch_size_limit' AND source = 'default' AND max_val::int >= %(rows)s
) AND NOT EXISTS (
    SELECT FROM pg_db_role_setting s
    CROSS JOIN unnest(s.setconfig) AS option
    JOIN pg_database d ON d.datname = current_database()
    JOIN pg_roles r ON r.rolname = current_user
    WHERE s.setdatabase IN (0, d.oid) AND s.setrole IN (0, r.oid)
      AND option LIKE 'timescaledb.compression\_batch\_size\_limit=%%'
)

-- tables_batch --
-- The role's own setting, as only the owner may set it for a database.
ALTER ROLE CURRENT_USER IN DATABASE {database} SET timescaledb.compression_batch_size_limit = {rows}

-- tables_trim_unknown --
DELETE FROM reading_unknown WHERE time < %(before)s

-- tables_trim_statistics --
DELETE FROM device_statistic WHERE time < %(before)s

-- provision_lock --
-- One provisioning at a time; the number is this project's own.
SELECT pg_advisory_xact_lock(1394073603)

-- provision_units --
SELECT code AS key, * FROM unit

-- provision_sites --
SELECT code AS key, * FROM site

-- provision_people --
SELECT code AS key, * FROM person

-- provision_devices --
SELECT s.code || '/' || d.code AS key, d.* FROM device d JOIN site s ON s.id = d.site_id

-- provision_cameras --
SELECT s.code || '/' || c.code AS key, c.* FROM camera c JOIN site s ON s.id = c.site_id

-- provision_permits --
SELECT s.code || '/' || p.reference AS key, p.* FROM permit p JOIN site s ON s.id = p.site_id

-- provision_site_units --
SELECT unit_id, role FROM site_unit WHERE site_id = %s

-- provision_link_unit --
INSERT INTO site_unit (site_id, unit_id, role) VALUES (%s, %s, %s)

-- provision_unlink_unit --
DELETE FROM site_unit WHERE site_id = %s AND unit_id = %s AND role = %s

-- provision_person_sites --
SELECT site_id FROM person_site WHERE person_id = %s

-- provision_link_site --
INSERT INTO person_site (person_id, site_id) VALUES (%s, %s)

-- provision_unlink_site --
DELETE FROM person_site WHERE person_id = %s AND site_id = %s

-- history_latest --
-- Ordered by the primary key, so the scan ends at the first partition that holds a row of the device.
SELECT newest.*
FROM unnest(%(devices)s::integer[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT device_id, time, {columns} FROM {table} WHERE device_id = wanted.id ORDER BY time DESC LIMIT 1
) AS newest

-- history_raw --
SELECT time, {columns} FROM {table}
WHERE device_id = %(device)s AND time >= %(start)s AND time < %(end)s
ORDER BY time LIMIT %(limit)s

-- history_buckets --
SELECT date_bin(%(bucket)s, time, timestamptz '2000-01-01 00:00+00') AS time, {columns} FROM {table}
WHERE device_id = %(device)s AND time >= %(start)s AND time < %(end)s
GROUP BY 1 ORDER BY 1

-- history_dropped --
SELECT FROM rollup_state WHERE kind = %(kind)s AND resolution = 'raw' AND since > %(start)s

-- history_rollup --
-- Up to the cut from the roll-up, behind it from the readings.
SELECT date_bin(%(bucket)s::interval, time, timestamptz '2000-01-01 00:00+00') AS time, {means}
FROM (
    SELECT time, {columns} FROM {rollup}
    WHERE device_id = %(device)s AND time < least(%(end)s, %(cut)s::timestamptz)
      AND time >= date_bin(%(width)s::interval, %(start)s, timestamptz '2000-01-01 00:00+00')
    UNION ALL
    SELECT date_bin(%(width)s::interval, time, timestamptz '2000-01-01 00:00+00'), {aggregates} FROM {table}
    WHERE device_id = %(device)s AND time < %(end)s AND time >= greatest(%(start)s, %(cut)s::timestamptz)
    GROUP BY 1
) AS part
GROUP BY 1 ORDER BY 1

-- history_days --
-- Days are those of the site's clock, and so is their beginning. As of the last pass, a minute ago.
SELECT min(time) AS time, {means}
FROM {rollup}
WHERE device_id = %(device)s AND time > %(start)s - interval '1 day' AND time < %(end)s
GROUP BY date_bin(%(bucket)s::interval, day::timestamp, timestamp '2000-01-01') ORDER BY 1

-- history_mean --
avg({value}) FILTER (WHERE {quality} IS NULL)::float8 AS {value},
min({value}) FILTER (WHERE {quality} IS NULL)::float8 AS {low},
max({value}) FILTER (WHERE {quality} IS NULL)::float8 AS {high}

-- history_mean_energy --
-- Leq: the level of the mean power.
10 * log(avg(power(10, {value}::float8 / 10)) FILTER (WHERE {quality} IS NULL)) AS {value},
min({value}) FILTER (WHERE {quality} IS NULL)::float8 AS {low},
max({value}) FILTER (WHERE {quality} IS NULL)::float8 AS {high}

-- history_mean_direction --
-- Of unit vectors: the mean of 350 and 10 degrees is 0.
((round(degrees(atan2(
    avg(sind({value})) FILTER (WHERE {quality} IS NULL), avg(cosd({value})) FILTER (WHERE {quality} IS NULL)
))::numeric, 3) + 360) %% 360)::float8 AS {value}

-- history_mean_state --
(mode() WITHIN GROUP (ORDER BY {value}) FILTER (WHERE {quality} IS NULL))::float8 AS {value}

-- rollup_value_n --
count({value}) FILTER (WHERE {quality} IS NULL)

-- rollup_value_symbol --
count(*) FILTER (WHERE {value} = {symbol} AND {quality} IS NULL)

-- rollup_value_sum --
sum({value}::float8) FILTER (WHERE {quality} IS NULL)

-- rollup_value_pow --
sum(power(10, {value}::float8 / 10)) FILTER (WHERE {quality} IS NULL)

-- rollup_value_sin --
sum(sind({value}::float8)) FILTER (WHERE {quality} IS NULL)

-- rollup_value_cos --
sum(cosd({value}::float8)) FILTER (WHERE {quality} IS NULL)

-- rollup_value_min --
min({value}) FILTER (WHERE {quality} IS NULL)

-- rollup_value_max --
max({value}) FILTER (WHERE {quality} IS NULL)

-- rollup_mean --
{sum} / nullif({n}, 0)

-- rollup_mean_energy --
-- Leq: the level of the mean power.
10 * log({pow} / nullif({n}, 0))

-- rollup_mean_direction --
mod(round(degrees(atan2({sin}, {cos}))::numeric, 3) + 360, 360)::float8

-- rollup_buckets --
-- Touched spans do not overlap and begin and end at bounds of buckets; `first` and `last` span all of them and let the
-- planner leave out partitions. The aggregate within LATERAL keeps to one index scan a span.
INSERT INTO {target} (device_id, time, messages, expected, {columns})
SELECT device.id, bucket.time, bucket.messages, extract(epoch FROM %(width)s::interval) / device.interval_s, {columns}
FROM unnest(%(device)s::integer[], %(start)s::timestamptz[], %(stop)s::timestamptz[]) AS touched (device, start, stop)
JOIN device ON device.id = touched.device
CROSS JOIN LATERAL (
    SELECT date_bin(%(width)s::interval, time, timestamptz '2000-01-01 00:00+00') AS time,
           {messages} AS messages, {aggregates}
    FROM {source}
    WHERE device_id = touched.device AND time >= touched.start AND time < touched.stop
      AND time >= %(first)s AND time < %(last)s
    GROUP BY 1
) AS bucket
ON CONFLICT (device_id, time) DO UPDATE SET {assignments}

-- rollup_days --
-- The days of the site's clock that the touched spans lie in. Two hours to either side, then compared by date: a day
-- that begins or ends in a change of the clock has no other plain bounds.
WITH day AS (
    SELECT DISTINCT device.id, device.interval_s, site.time_zone AS zone, date::date AS day
    FROM unnest(%(device)s::integer[], %(start)s::timestamptz[], %(stop)s::timestamptz[])
        AS touched (device, start, stop)
    JOIN device ON device.id = touched.device
    JOIN site ON site.id = device.site_id
    CROSS JOIN LATERAL generate_series(
        (touched.start AT TIME ZONE site.time_zone)::date,
        (touched.stop - interval '1 us') AT TIME ZONE site.time_zone,
        interval '1 day'
    ) AS date
), span AS (
    SELECT *, day::timestamp AT TIME ZONE zone AS start, (day + 1)::timestamp AT TIME ZONE zone AS stop FROM day
)
INSERT INTO {target} (device_id, day, time, messages, expected, {columns})
SELECT span.id, span.day, span.start, bucket.messages,
       extract(epoch FROM span.stop - span.start) / span.interval_s, {columns}
FROM span
CROSS JOIN LATERAL (
    SELECT sum(messages) AS messages, {aggregates}
    FROM {source}
    WHERE device_id = span.id AND time >= span.start - interval '2 h' AND time < span.stop + interval '2 h'
      AND (time AT TIME ZONE span.zone)::date = span.day
    HAVING count(*) > 0
) AS bucket
ON CONFLICT (device_id, day) DO UPDATE SET {assignments}

-- rollup_forget --
UPDATE rollup_state SET since = greatest(since, %(before)s)
WHERE kind = %(kind)s AND resolution = %(resolution)s

-- rollup_unknown_kinds --
SELECT kind FROM unnest(%(kinds)s::text[]) AS kind
WHERE NOT EXISTS (SELECT FROM rollup_state WHERE rollup_state.kind = kind.kind)

-- rollup_extent --
-- First and last time of the kind's readings, by two index lookups a device.
SELECT min(first.time), max(last.time)
FROM device
CROSS JOIN LATERAL (SELECT time FROM {table} WHERE device_id = device.id ORDER BY time LIMIT 1) AS first
CROSS JOIN LATERAL (SELECT time FROM {table} WHERE device_id = device.id ORDER BY time DESC LIMIT 1) AS last
WHERE device.kind = %(kind)s

-- rollup_begin --
INSERT INTO rollup_state (kind, resolution, since) VALUES (%(kind)s, %(resolution)s, %(since)s)
ON CONFLICT DO NOTHING

-- rollup_since --
SELECT since FROM rollup_state WHERE kind = %(kind)s AND resolution = %(resolution)s

-- rollup_order_rebuild --
INSERT INTO rollup_rebuild (kind, low, high) VALUES (%(kind)s, %(low)s, %(high)s)
ON CONFLICT (kind) DO UPDATE SET low = least(rollup_rebuild.low, excluded.low),
                                 high = greatest(rollup_rebuild.high, excluded.high)

-- rollup_next_rebuild --
SELECT kind, low, high FROM rollup_rebuild WHERE kind = ANY(%(kinds)s::text[]) ORDER BY high DESC LIMIT 1

-- rollup_rebuilt --
UPDATE rollup_rebuild SET high = %(high)s WHERE kind = %(kind)s

-- rollup_done --
DELETE FROM rollup_rebuild WHERE high <= low

-- rollup_devices --
SELECT id FROM device WHERE kind = %(kind)s

-- rollup_through --
SELECT through FROM rollup_pass

-- rollup_pass --
INSERT INTO rollup_pass (through) VALUES (%(through)s) ON CONFLICT (single) DO UPDATE SET through = excluded.through

-- rollup_heads --
SELECT writer, shard, last FROM log_stream

-- rollup_usable --
-- When the last pass was, where the roll-up holds the whole span; no row where it does not.
SELECT pass.through
FROM rollup_pass AS pass
JOIN rollup_state AS state ON state.kind = %(kind)s AND state.resolution = %(resolution)s AND state.since <= %(start)s
WHERE NOT EXISTS (
    SELECT FROM rollup_rebuild WHERE kind = %(kind)s AND low < %(end)s AND high > %(start)s
)

-- rollup_no_jit --
SET LOCAL jit = off

-- views_schema --
CREATE SCHEMA IF NOT EXISTS report

-- views_comment --
SELECT obj_description(to_regclass(%(view)s), 'pg_class')

-- views_device --
SELECT s.code AS site, s.name AS site_name, d.code AS device, d.kind, d.name, d.name_en, d.latitude, d.longitude,
       d.interval_s, d.enabled AND s.enabled AS enabled, seen.last_time, seen.last_seen_at, seen.connected
FROM device d JOIN site s ON s.id = d.site_id LEFT JOIN device_seen seen ON seen.device_id = d.id

-- views_readings --
SELECT s.code AS site, s.name AS site_name, d.code AS device, d.name AS device_name, r.time, r.flags, {columns}
FROM {table} r JOIN device d ON d.id = r.device_id JOIN site s ON s.id = d.site_id

-- views_rollup --
SELECT s.code AS site, s.name AS site_name, d.code AS device, d.name AS device_name, r.time, r.messages, {columns}
FROM {table} r JOIN device d ON d.id = r.device_id JOIN site s ON s.id = d.site_id

-- export --
SELECT * FROM report.{view}
WHERE time >= {start} AND time < {end} AND ({site}::text IS NULL OR site = {site})
  AND ({device}::text IS NULL OR device = {device})
ORDER BY site, device, time

-- storage_parts --
-- Weeks, or the table itself where it is not cut; rows as the server last counted them, or until then as it saw them
-- written.
SELECT count(*) FILTER (WHERE relkind = 'r') AS parts, 0 AS columnar,
       sum(pg_total_relation_size(oid))::bigint AS bytes,
       coalesce(
           sum(CASE WHEN reltuples > 0 THEN reltuples ELSE pg_stat_get_live_tuples(oid) END) FILTER (WHERE relkind = 'r'), 0
       )::bigint AS rows
FROM pg_class
WHERE oid = to_regclass(%(table)s) OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(%(table)s))

-- storage_chunks --
SELECT count(*) AS parts, count(*) FILTER (WHERE is_compressed) AS columnar,
       coalesce(hypertable_size(to_regclass(%(table)s)), 0) AS bytes,
       -- The first is what the server last counted, columns included; the other what it saw written.
       greatest(
           approximate_row_count(to_regclass(%(table)s)),
           coalesce(sum(pg_stat_get_live_tuples(to_regclass(format('%%I.%%I', chunk_schema, chunk_name)))), 0)
       )::bigint AS rows
FROM timescaledb_information.chunks
WHERE to_regclass(format('%%I.%%I', hypertable_schema, hypertable_name)) = to_regclass(%(table)s)

-- storage_is_hypertable --
SELECT EXISTS (
    SELECT FROM timescaledb_information.hypertables
    WHERE to_regclass(format('%%I.%%I', hypertable_schema, hypertable_name)) = to_regclass(%(table)s)
)

-- storage_since --
SELECT nullif(since, timestamptz '0001-01-01 00:00+00') FROM rollup_state WHERE kind = %(kind)s AND resolution = %(resolution)s

-- storage_rebuilds --
SELECT kind, low, high FROM rollup_rebuild ORDER BY kind

-- statistics --
-- Of each metric no more than a page, by the primary key; then the page of all. Metrics are found by hopping from one
-- to the next.
WITH RECURSIVE names AS (
    (SELECT metric FROM device_statistic
     WHERE device_id = %(device)s AND period = %(period)s ORDER BY metric LIMIT 1)
    UNION ALL
    SELECT (SELECT s.metric FROM device_statistic s
            WHERE s.device_id = %(device)s AND s.period = %(period)s AND s.metric > names.metric
            ORDER BY s.metric LIMIT 1)
    FROM names WHERE names.metric IS NOT NULL
)
SELECT found.*
FROM names
CROSS JOIN LATERAL (
    SELECT time, metric, mean, minimum, maximum, total, quality::text AS quality
    FROM device_statistic
    WHERE device_id = %(device)s AND period = %(period)s AND metric = names.metric
      AND time >= %(start)s AND time < %(end)s
      AND (%(before_time)s::timestamptz IS NULL OR time < %(before_time)s
           OR time = %(before_time)s AND metric COLLATE "C" > %(before_metric)s)
    ORDER BY time DESC LIMIT %(limit)s
) AS found
WHERE names.metric IS NOT NULL AND (%(metrics)s::text[] IS NULL OR names.metric = ANY (%(metrics)s))
ORDER BY found.time DESC, found.metric COLLATE "C" LIMIT %(limit)s

-- statistics_ours --
SELECT time, {columns} FROM {table} WHERE device_id = %(device)s AND time >= %(start)s AND time < %(end)s

-- received --
SELECT d.id AS device_id, d.site_id, d.code, d.name, d.name_en, d.kind,
       coalesce(sum(greatest({readings})), 0)::bigint AS readings,
       (extract(epoch FROM %(until)s::timestamptz - %(since)s::timestamptz) / d.interval_s)::double precision AS expected
FROM device d JOIN site s ON s.id = d.site_id
LEFT JOIN {table} r ON r.device_id = d.id AND r.time >= %(since)s AND r.time < %(until)s
WHERE d.kind = %(kind)s AND d.enabled AND s.enabled AND (%(site_id)s::int IS NULL OR d.site_id = %(site_id)s)
GROUP BY d.id
