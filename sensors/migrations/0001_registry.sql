CREATE TABLE site (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    name text NOT NULL,
    name_en text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    region_code text NOT NULL DEFAULT '',           -- GB/T 2260
    latitude double precision,                      -- WGS-84
    longitude double precision,
    time_zone text NOT NULL DEFAULT 'Asia/Shanghai',
    stage text NOT NULL DEFAULT '',                 -- construction stage
    area_m2 double precision,
    project_code text NOT NULL DEFAULT '',          -- 项目统一编码; the regulator's keys
    permit_number text NOT NULL DEFAULT '',         -- 施工许可证号
    supervision_number text NOT NULL DEFAULT '',    -- 安全监督登记号
    vision_policy text NOT NULL DEFAULT 'review' CHECK (vision_policy IN ('auto', 'review', 'auto_above')),
    vision_auto_score double precision NOT NULL DEFAULT 0.9,
    enabled boolean NOT NULL DEFAULT true
);

CREATE TABLE unit (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL,
    name_en text NOT NULL DEFAULT '',
    credit_code text NOT NULL DEFAULT ''            -- 统一社会信用代码
);

CREATE TABLE site_unit (
    site_id integer NOT NULL REFERENCES site ON DELETE CASCADE,
    unit_id integer NOT NULL REFERENCES unit ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('builder', 'contractor', 'supervisor')),
    PRIMARY KEY (site_id, unit_id, role)
);

-- A person may log in (login, password_hash) and may be told (contacts: apprise URLs, phone).
CREATE TABLE person (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL,
    name_en text NOT NULL DEFAULT '',
    role text NOT NULL CHECK (role IN ('leader', 'operator', 'inspector', 'supervisor', 'officer', 'integrator', 'auditor')),
    unit_id integer REFERENCES unit,
    phone text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT 'zh' CHECK (language IN ('zh', 'en')),
    contacts text[] NOT NULL DEFAULT '{}',
    login text UNIQUE,
    password_hash text,
    all_sites boolean NOT NULL DEFAULT false,
    enabled boolean NOT NULL DEFAULT true
);

CREATE TABLE person_site (
    person_id integer NOT NULL REFERENCES person ON DELETE CASCADE,
    site_id integer NOT NULL REFERENCES site ON DELETE CASCADE,
    PRIMARY KEY (person_id, site_id)
);

-- Unique by (site, code): the two levels of the MQTT topic, and the user name "{site}/{device}".
CREATE TABLE device (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    code text NOT NULL CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    kind text NOT NULL,                             -- a profile's name
    name text NOT NULL,
    name_en text NOT NULL DEFAULT '',
    secret_hash text,                               -- argon2 of the MQTT password; NULL: may not connect
    record_number text NOT NULL DEFAULT '',         -- 备案号
    factory text NOT NULL DEFAULT '',
    latitude double precision,
    longitude double precision,
    clock_offset_ms integer NOT NULL DEFAULT 0,     -- added to the device's ts; stored, never computed from arrival
    interval_s double precision NOT NULL DEFAULT 60 CHECK (interval_s > 0),  -- expected time between readings
    tags text[] NOT NULL DEFAULT '{}',
    mn text UNIQUE CHECK (mn ~ '^[A-Za-z0-9_-]{1,64}$'),  -- how HJ 212 names it; NULL: it does not speak that
    protocol_options jsonb NOT NULL DEFAULT '{}',   -- by protocol, how this device speaks it; may hold keys
    enabled boolean NOT NULL DEFAULT true,
    UNIQUE (site_id, code)
);

CREATE TABLE camera (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    code text NOT NULL CHECK (code ~ '^[A-Za-z0-9_-]{1,64}$'),
    name text NOT NULL,
    name_en text NOT NULL DEFAULT '',
    url text NOT NULL,                              -- rtsp://, http://, file path or webcam index; may hold a password
    zone text NOT NULL DEFAULT '',
    options jsonb NOT NULL DEFAULT '{}',            -- per-camera settings of the vision room
    latitude double precision,
    longitude double precision,
    enabled boolean NOT NULL DEFAULT true,
    UNIQUE (site_id, code)
);

-- When each device was last heard; flushed about once a second by ingest, not with every batch.
CREATE TABLE device_seen (
    device_id integer PRIMARY KEY REFERENCES device ON DELETE CASCADE,
    last_time timestamptz,                          -- newest reading, event time
    last_seen_at timestamptz NOT NULL,              -- arrival of the last accepted reading
    connected boolean,                              -- by the status topic or the own endpoint; NULL: unknown
    connected_by text,                              -- ingest worker that holds the connection; NULL: none, or a broker does
    connected_at timestamptz                        -- when that was said
);

-- Readers of the registry hold it in memory and reload when the version moves.
CREATE TABLE registry_version (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version bigint NOT NULL
);
INSERT INTO registry_version (version) VALUES (1);

CREATE FUNCTION registry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE registry_version SET version = version + 1;
    PERFORM pg_notify('smartsite_registry', '');
    RETURN NULL;
END $$;

CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON site FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON unit FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON site_unit FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON person FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON person_site FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON device FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON camera FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
