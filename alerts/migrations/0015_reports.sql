-- Reports of a day or a week, of a site or of all: figures, from which the files are written in either language.
CREATE TABLE report (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('daily', 'weekly')),
    site_id integer REFERENCES site ON DELETE CASCADE,   -- NULL: the bureau, all sites
    first_day date NOT NULL,                             -- by the clock of the site, or of the bureau
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    figures jsonb NOT NULL,                              -- alerts.reports.model.Figures
    made_at timestamptz NOT NULL,
    CHECK (starts_at < ends_at)
);
CREATE UNIQUE INDEX report_once ON report (kind, coalesce(site_id, 0), first_day);
CREATE INDEX report_newest ON report (made_at);

ALTER TABLE notification ADD COLUMN report_id bigint REFERENCES report ON DELETE CASCADE;
ALTER TABLE notification DROP CONSTRAINT notification_is_about_something;
ALTER TABLE notification ADD CONSTRAINT notification_is_about_something
    CHECK (num_nonnulls(alert_id, rectification_id, report_id) = 1);
CREATE UNIQUE INDEX notification_report_once ON notification (report_id, person_id, channel) WHERE report_id IS NOT NULL;
ALTER TABLE notification DROP CONSTRAINT notification_phase_check;
ALTER TABLE notification ADD CONSTRAINT notification_phase_check
    CHECK (phase IN ('raised', 'severity', 'cleared', 'reminder', 'escalated', 'ordered', 'submitted', 'returned',
                     'passed', 'overdue', 'listed', 'stop_work', 'resumed', 'withdrawn', 'deadline', 'report'));
