-- Which vision worker has a camera. The holder's number is backed by an advisory lock of its session: what a dead
-- worker had is free at once. seen_at is the back-stop for one that hangs or cannot be reached.
CREATE TABLE camera_lease (
    camera_id integer PRIMARY KEY REFERENCES camera ON DELETE CASCADE,
    holder bigint NOT NULL,
    worker text NOT NULL,
    since timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);
