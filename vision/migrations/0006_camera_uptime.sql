-- Seconds of each quarter of an hour in which a camera delivered, for reports. What nobody watched is not in it.
CREATE TABLE camera_uptime (
    camera_id integer NOT NULL REFERENCES camera ON DELETE CASCADE,
    time timestamptz NOT NULL,
    online_s real NOT NULL,
    PRIMARY KEY (camera_id, time)
);
