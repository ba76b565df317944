-- Who holds a camera to move it, one person at a time: api writes, vision reads moved_at. A row stays when nobody
-- holds the camera any more.
CREATE TABLE camera_ptz (
    camera_id integer PRIMARY KEY REFERENCES camera ON DELETE CASCADE,
    seat text,                                      -- random, of the connection that holds it; NULL: nobody does
    holder text NOT NULL DEFAULT '',                -- a person's code
    role text NOT NULL DEFAULT '',
    since timestamptz,
    expires_at timestamptz,                         -- renewed while it is held
    moving boolean NOT NULL DEFAULT false,          -- a movement was ordered and no stop has been answered yet
    moved_at timestamptz                            -- of the last order
);
