-- A mute may aim at one device or camera of its site instead of all.
ALTER TABLE mute
    ADD COLUMN device_id integer REFERENCES device ON DELETE CASCADE,
    ADD COLUMN camera_id integer REFERENCES camera ON DELETE CASCADE,
    ADD CONSTRAINT mute_aims_at_one CHECK (num_nonnulls(device_id, camera_id) = 0
        OR (num_nonnulls(device_id, camera_id) = 1 AND site_id IS NOT NULL));
