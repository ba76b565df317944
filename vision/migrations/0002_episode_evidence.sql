-- Every file of an episode. What ordinary readers are shown is made from the original and stored beside it.
CREATE TABLE episode_evidence (
    episode_id bigint NOT NULL REFERENCES episode,
    role text NOT NULL CHECK (role IN ('frame', 'crop', 'frame_shown', 'crop_shown', 'clip')),
    sha256 text NOT NULL REFERENCES evidence,
    first_at timestamptz,                           -- of a clip: when its first and last picture came
    last_at timestamptz,
    PRIMARY KEY (episode_id, role)
);
CREATE INDEX episode_evidence_file ON episode_evidence (sha256);

INSERT INTO episode_evidence (episode_id, role, sha256)
SELECT id, 'frame', frame_sha256 FROM episode UNION ALL SELECT id, 'crop', crop_sha256 FROM episode;

-- All heads on the frame: [{"label": "head", "score": 0.8, "box": [x1, y1, x2, y2]}], pixels of the frame.
ALTER TABLE episode ADD COLUMN heads jsonb NOT NULL DEFAULT '[]';
