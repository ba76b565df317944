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

-- tables_trim_unknown --
DELETE FROM reading_unknown WHERE time < %(before)s

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
