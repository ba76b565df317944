-- The stages that a site has gone through: what happened is judged by the stage of its own time. Kept by triggers, so
-- that whoever changes a site's stage leaves its time. A stage lasts until the next one of its site.
CREATE TABLE site_stage (
    site_id integer NOT NULL REFERENCES site ON DELETE CASCADE,
    since timestamptz NOT NULL,                     -- -infinity: since ever
    stage text NOT NULL,
    PRIMARY KEY (site_id, since)
);

-- When the present stage began; NULL: since ever.
ALTER TABLE site ADD COLUMN stage_since timestamptz CHECK (isfinite(stage_since));

INSERT INTO site_stage (site_id, since, stage) SELECT id, '-infinity', stage FROM site;

CREATE FUNCTION site_stage_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A change that names no time of its own is one of now.
    IF NEW.stage <> OLD.stage AND NEW.stage_since IS NOT DISTINCT FROM OLD.stage_since THEN
        NEW.stage_since := now();
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION site_stage_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    begins timestamptz := coalesce(NEW.stage_since, '-infinity');
    stale timestamptz := begins;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.stage = OLD.stage AND NEW.stage_since IS NOT DISTINCT FROM OLD.stage_since THEN
            RETURN NULL;
        END IF;
        IF NEW.stage = OLD.stage THEN               -- another beginning of the same stage
            stale := least(begins, coalesce(OLD.stage_since, '-infinity'));
        END IF;
    END IF;
    DELETE FROM site_stage WHERE site_id = NEW.id AND since >= stale;
    INSERT INTO site_stage (site_id, since, stage) VALUES (NEW.id, begins, NEW.stage);
    RETURN NULL;
END $$;

CREATE TRIGGER site_stage_begins BEFORE UPDATE ON site FOR EACH ROW EXECUTE FUNCTION site_stage_begins();
CREATE TRIGGER site_stage_kept AFTER INSERT OR UPDATE ON site FOR EACH ROW EXECUTE FUNCTION site_stage_kept();
