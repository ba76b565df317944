-- begin --
-- Numbers of a site and year run without a gap: whoever begins first on a site holds the site's row until commit.
WITH site AS (SELECT id, code FROM site WHERE id = %(site_id)s FOR UPDATE),
numbered AS (
    SELECT count(*) + 1 AS next FROM inspection
    WHERE site_id = %(site_id)s AND number LIKE 'XC-' || (SELECT code FROM site) || '-' || %(year)s || '-%%'
)
INSERT INTO inspection (number, site_id, checklist, name, name_en, begun_at, begun_by, request_key)
SELECT 'XC-' || site.code || '-' || %(year)s || '-' || lpad(numbered.next::text, 4, '0'), site.id, %(checklist)s, %(name)s,
       %(name_en)s, %(now)s, %(by)s, %(key)s
FROM site, numbered
ON CONFLICT (begun_by, request_key) DO NOTHING
RETURNING id

-- begun --
SELECT id, site_id, checklist FROM inspection WHERE begun_by = %(by)s AND request_key = %(key)s

-- item_put --
INSERT INTO inspection_item (inspection_id, position, code, title, title_en, requirement)
VALUES (%(id)s, %(position)s, %(code)s, %(title)s, %(title_en)s, %(requirement)s)

-- lock --
SELECT id, number, site_id, checklist, name, name_en, state, version, begun_at, begun_by, ended_at, conclusion, report_sha256
FROM inspection WHERE id = %(id)s FOR UPDATE

-- step --
UPDATE inspection SET version = version + 1 WHERE id = %(id)s

-- end --
UPDATE inspection SET version = version + 1, state = %(state)s, ended_at = %(now)s, conclusion = %(conclusion)s,
    report_sha256 = %(report)s
WHERE id = %(id)s

-- judge --
UPDATE inspection_item SET result = %(result)s, note = %(note)s
WHERE inspection_id = %(id)s AND position = %(position)s RETURNING position

-- item_failed --
UPDATE inspection_item SET result = 'fail' WHERE inspection_id = %(id)s AND position = %(position)s RETURNING position

-- has_item --
SELECT 1 FROM inspection_item WHERE inspection_id = %(id)s AND position = %(position)s

-- look --
INSERT INTO inspection_look (inspection_id, camera_id, at) VALUES (%(id)s, %(camera_id)s, %(now)s) ON CONFLICT DO NOTHING

-- camera --
SELECT 1 FROM camera WHERE id = %(camera_id)s AND site_id = %(site_id)s

-- picture_known --
SELECT id, camera_id FROM inspection_picture WHERE inspection_id = %(id)s AND request_key = %(key)s

-- picture_count --
SELECT count(*) FROM inspection_picture WHERE inspection_id = %(id)s

-- picture_put --
INSERT INTO inspection_picture (inspection_id, camera_id, taken_at, plain_sha256, sha256, request_key)
VALUES (%(id)s, %(camera_id)s, %(now)s, %(sha256)s, %(sha256)s, %(key)s) RETURNING id

-- picture --
SELECT plain_sha256, rectification_id FROM inspection_picture WHERE inspection_id = %(id)s AND id = %(picture_id)s

-- picture_mark --
UPDATE inspection_picture SET marks = %(marks)s, sha256 = %(sha256)s, note = %(note)s, position = %(position)s
WHERE inspection_id = %(id)s AND id = %(picture_id)s

-- picture_drop --
DELETE FROM inspection_picture WHERE inspection_id = %(id)s AND id = %(picture_id)s

-- pictures_use --
-- A picture shows one finding.
UPDATE inspection_picture SET rectification_id = %(order_id)s
WHERE inspection_id = %(id)s AND id = ANY (%(pictures)s::bigint[]) AND rectification_id IS NULL RETURNING id, sha256

-- finding_put --
INSERT INTO inspection_finding (inspection_id, rectification_id, position) VALUES (%(id)s, %(order_id)s, %(position)s)

-- items --
SELECT position, code, title, title_en, requirement, result, note
FROM inspection_item WHERE inspection_id = %(id)s ORDER BY position

-- looks --
SELECT l.camera_id, c.code, c.name, c.name_en, l.at
FROM inspection_look l JOIN camera c ON c.id = l.camera_id WHERE l.inspection_id = %(id)s ORDER BY l.at, c.code

-- pictures --
SELECT p.id, p.camera_id, c.name AS camera_name, c.name_en AS camera_name_en, p.taken_at, p.plain_sha256, p.sha256, p.marks,
       p.note, p.position, p.rectification_id
FROM inspection_picture p JOIN camera c ON c.id = p.camera_id WHERE p.inspection_id = %(id)s ORDER BY p.id

-- findings --
SELECT f.position, r.id AS rectification_id, r.number, r.level, r.title, r.location, r.requirement, r.state, r.deadline_at,
       p.name AS person_name, p.name_en AS person_name_en, u.name AS unit_name, u.name_en AS unit_name_en
FROM inspection_finding f JOIN rectification r ON r.id = f.rectification_id
JOIN person p ON p.id = r.person_id LEFT JOIN unit u ON u.id = r.unit_id
WHERE f.inspection_id = %(id)s ORDER BY r.id

-- site --
SELECT code, name, name_en, address, time_zone FROM site WHERE id = %(site_id)s

-- person --
SELECT name, name_en, role FROM person WHERE code = %(code)s
