-- Looks at the person over the whole episode, thinned in long ones: [{"time": microseconds, "score": 0.8, "bare": true}].
ALTER TABLE episode ADD COLUMN history jsonb NOT NULL DEFAULT '[]';
UPDATE episode SET history = votes WHERE votes <> '[]';
