-- The device of the same site through which a device reports; NULL: none is known.
ALTER TABLE device
    ADD COLUMN gateway_id integer REFERENCES device ON DELETE SET NULL,
    ADD CONSTRAINT device_is_not_its_own_gateway CHECK (gateway_id <> id);
CREATE INDEX device_gateway ON device (gateway_id) WHERE gateway_id IS NOT NULL;
