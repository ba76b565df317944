-- One person may be in several kinds of episodes (no_helmet, intrusion, post_unmanned) that begin with the same look.
CREATE UNIQUE INDEX episode_name ON episode (camera_id, kind, track, started_at);
DROP INDEX episode_once;
