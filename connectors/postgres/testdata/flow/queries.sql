# Each line is a statement on world.sql, run with two fillings of what is hidden: what
# differs must be told by the reading, as a source, as a probe or as not proven.
# A line that begins with = must be read as free of anything hidden.
# A line that begins with 17 is only read where the server is older than that.
# Steps before the last are separated by ;; and only prepare.
# names and expressions
=SELECT id, name, tags, meta, born FROM people ORDER BY id
=SELECT p.id AS secret, p.name AS pin FROM people p ORDER BY id
=SELECT people.name, public.people.name FROM public.people ORDER BY id
SELECT secret, pin FROM people ORDER BY id
SELECT secret AS name FROM people ORDER BY id
SELECT upper(secret), left(secret, 1), length(secret), pin + 1, pin::text, -pin FROM people ORDER BY id
SELECT secret || name, name || secret, concat(name, secret), format('%s', secret) FROM people ORDER BY id
SELECT CASE WHEN pin > 1003 THEN 1 ELSE 0 END, CASE id WHEN 1 THEN secret ELSE name END FROM people ORDER BY id
SELECT coalesce(secret, name), nullif(secret, 'x'), greatest(secret, name), least(pin, id) FROM people ORDER BY id
SELECT pin > 1003, pin BETWEEN 1000 AND 1003, secret LIKE 'a%', secret IN ('alpha1'), secret ~ '^a', secret = ANY (ARRAY['alpha1']) FROM people ORDER BY id
SELECT ARRAY[secret], (ARRAY[secret, name])[2], ROW(id, secret), ROW(id, name) FROM people ORDER BY id
SELECT secret COLLATE "C", (secret)::varchar(3), secret::code FROM people ORDER BY id
SELECT (name, secret) = ('name1', 'alpha1'), (id, pin) < (3, 1005) FROM people ORDER BY id
=SELECT (id, name) = (1, 'name1'), ROW(id, name) IS NULL FROM people ORDER BY id
SELECT (id, secret) IS NOT DISTINCT FROM (1, 'alpha1') FROM people ORDER BY id
=SELECT shout FROM people ORDER BY id
SELECT hint FROM people ORDER BY id
# whole rows and functional notation
SELECT p FROM people p ORDER BY id
SELECT p.* FROM people p ORDER BY id
SELECT (p).* FROM people p ORDER BY id
SELECT (p).secret, (p).name FROM people p ORDER BY id
=SELECT (p).name, (p).id FROM people p ORDER BY id
SELECT secret(p) FROM people p ORDER BY p.id
=SELECT name(p.name) FROM people p ORDER BY p.id
SELECT p.full_secret, full_secret(p) FROM people p ORDER BY p.id
SELECT p.full_name, full_name(p), full_name(p.*) FROM people p ORDER BY p.id
SELECT p::text FROM people p ORDER BY p.id
SELECT x.p FROM (SELECT p FROM people p ORDER BY id) x
SELECT (x.p).secret FROM (SELECT p FROM people p ORDER BY id) x
SELECT row_to_json(p), to_jsonb(p) - 'id', json_build_object('x', p), jsonb_agg(p) OVER () FROM people p ORDER BY id
SELECT row_to_json(x) FROM (SELECT id, secret FROM people ORDER BY id) x
=SELECT row_to_json(x) FROM (SELECT id, name FROM people ORDER BY id) x
SELECT count(p), count(p.*) FROM people p
SELECT (r).a FROM (SELECT both_ AS r FROM codes) x
=SELECT (both_).a, (both_).b, both_, list, list[1], (list[1]).a, mood, open FROM codes
SELECT secret, (codes).secret, codes.open FROM codes
=SELECT u FROM codes, unnest(list) u
=SELECT row_ FROM (SELECT ROW(id, name) AS row_ FROM people ORDER BY id) x
SELECT (SELECT p FROM people p WHERE id = 1)
SELECT ((SELECT p FROM people p WHERE id = 1)).secret
SELECT ((SELECT p FROM people p WHERE id = 1)).name
SELECT w FROM whole w ORDER BY id
SELECT (row_).secret FROM whole ORDER BY id
SELECT id FROM whole ORDER BY id
# json
SELECT json_build_object('s', secret), jsonb_build_array(pin), to_json(secret) FROM people ORDER BY id
17 SELECT JSON_OBJECT('a' : secret, 'b' VALUE name RETURNING jsonb), JSON_ARRAY(secret, 1), JSON_ARRAY(SELECT secret FROM people) FROM people ORDER BY id
=17 SELECT JSON_OBJECT('a' : id, 'b' VALUE name), JSON_ARRAY(name, 1), JSON_ARRAY(SELECT name FROM people ORDER BY id) FROM people ORDER BY id
17 SELECT JSON_OBJECTAGG(id : secret), JSON_ARRAYAGG(secret ORDER BY id) FROM people
=17 SELECT JSON_OBJECTAGG(id : name), JSON_ARRAYAGG(name ORDER BY id) FROM people
17 SELECT JSON_SCALAR(secret), JSON_SERIALIZE(to_json(secret)), JSON('"x"'), secret IS JSON FROM people ORDER BY id
17 SELECT JSON_VALUE(to_jsonb(p), '$.secret'), JSON_QUERY(to_jsonb(p), '$.secret'), JSON_EXISTS(to_jsonb(p), '$.secret ? (@ starts with "alpha")') FROM people p ORDER BY id
=17 SELECT JSON_VALUE(meta, '$.k'), JSON_QUERY(meta, '$.k'), JSON_EXISTS(meta, '$.k'), meta ->> 'k', meta @> '{"k": 1}' FROM people ORDER BY id
17 SELECT j.* FROM people p, JSON_TABLE(to_jsonb(p), '$' COLUMNS (n FOR ORDINALITY, s text PATH '$.secret', NESTED PATH '$.tags[*]' COLUMNS (t text PATH '$'), last text PATH '$.name')) j ORDER BY p.id
=17 SELECT j.* FROM people p, JSON_TABLE(p.meta, '$' COLUMNS (n FOR ORDINALITY, k int PATH '$.k', e bool EXISTS PATH '$.q')) j ORDER BY p.id
SELECT j.k, j.value FROM people p, jsonb_each_text(to_jsonb(p)) j (k, value) ORDER BY p.id, 1
=SELECT key, value FROM people p, jsonb_each_text(p.meta) ORDER BY p.id
SELECT r.* FROM people p, jsonb_to_record(to_jsonb(p)) AS r (name text, secret text) ORDER BY p.id
SELECT (jsonb_populate_record(NULL::pair, jsonb_build_object('a', secret))).a FROM people ORDER BY id
SELECT p.secret -> 0 FROM (SELECT to_jsonb(people) AS secret FROM people ORDER BY id) p
SELECT jsonb_path_query_first(to_jsonb(p), '$.pin'), to_jsonb(p) #>> '{secret}', to_jsonb(p) ? 'x' FROM people p ORDER BY id
# xml
SELECT x.* FROM people p, XMLTABLE('/r' PASSING xmlelement(name r, xmlattributes(p.secret AS s)) COLUMNS s text PATH '@s', o FOR ORDINALITY) x ORDER BY p.id
=SELECT x.* FROM people p, XMLTABLE('/r' PASSING xmlelement(name r, xmlattributes(p.name AS s)) COLUMNS s text PATH '@s', o FOR ORDINALITY) x ORDER BY p.id
SELECT xmlelement(name a, secret), xmlforest(secret), xmlconcat(xmlelement(name b, pin)) FROM people ORDER BY id
=SELECT xmlelement(name a, name), xmlforest(name AS x) FROM people ORDER BY id
SELECT xpath('/r/text()', xmlelement(name r, secret))::text FROM people ORDER BY id
# subqueries, laterals, CTEs
SELECT (SELECT secret FROM people WHERE id = 1), ARRAY(SELECT secret FROM people ORDER BY id)
=SELECT (SELECT name FROM people WHERE id = 1), ARRAY(SELECT name FROM people ORDER BY id)
SELECT l.* FROM visits v, LATERAL (SELECT secret FROM people p WHERE p.id = v.person) l ORDER BY v.id
=SELECT l.* FROM visits v, LATERAL (SELECT name FROM people p WHERE p.id = v.person) l ORDER BY v.id
SELECT x.n FROM visits v CROSS JOIN LATERAL (SELECT max(p.secret) AS n FROM people p WHERE p.id = v.person) x ORDER BY v.id
WITH x AS (SELECT secret AS name FROM people ORDER BY id) SELECT name FROM x
=WITH x AS (SELECT name AS secret FROM people ORDER BY id) SELECT secret FROM x
WITH people AS (SELECT id, secret AS name FROM people) SELECT name FROM people ORDER BY id
WITH RECURSIVE r AS (SELECT id, boss, secret FROM people WHERE id = 6 UNION ALL SELECT p.id, p.boss, p.secret FROM people p JOIN r ON p.id = r.boss) SELECT secret FROM r
=WITH RECURSIVE r AS (SELECT id, boss, name FROM people WHERE id = 6 UNION ALL SELECT p.id, p.boss, p.name FROM people p JOIN r ON p.id = r.boss) SELECT id, name FROM r
WITH RECURSIVE r (i, a, b) AS (SELECT 1, '', max(secret) FROM people UNION ALL SELECT i + 1, b, a FROM r WHERE i < 3) SELECT a FROM r
WITH RECURSIVE r AS (SELECT id, boss, secret FROM people WHERE id = 1 UNION ALL SELECT p.id, p.boss, p.secret FROM people p JOIN r ON p.boss = r.id) SEARCH DEPTH FIRST BY secret SET o SELECT id, o FROM r ORDER BY id
=WITH RECURSIVE r AS (SELECT id, boss FROM people WHERE id = 1 UNION ALL SELECT p.id, p.boss FROM people p JOIN r ON p.boss = r.id) CYCLE id SET c USING path SELECT id, c, path FROM r ORDER BY id
WITH a AS (SELECT secret AS x FROM people), b AS (SELECT x AS y FROM a), c AS MATERIALIZED (SELECT y FROM b) SELECT y FROM c ORDER BY y
SELECT exists (SELECT 1 FROM people WHERE pin > 1003)
SELECT id IN (SELECT pin FROM people), id = ALL (SELECT pin FROM people), id < ANY (SELECT pin FROM people) FROM visits ORDER BY id
=SELECT place IN (SELECT name FROM people), EXISTS (SELECT 1 FROM people p WHERE p.id = person) FROM visits ORDER BY id
SELECT (id, place) IN (SELECT id, secret FROM people) FROM visits ORDER BY id
SELECT (SELECT x.secret) FROM people x ORDER BY x.id
SELECT (SELECT (SELECT y.s FROM (SELECT x.secret AS s) y)) FROM people x ORDER BY x.id
SELECT x FROM (VALUES (1, (SELECT secret FROM people WHERE id = 1))) v (n, x)
=SELECT x FROM (VALUES (1, (SELECT name FROM people WHERE id = 1))) v (n, x)
VALUES ((SELECT pin FROM people WHERE id = 1)), (0)
TABLE people ORDER BY id
TABLE open_people ORDER BY id
# joins and set operations
=SELECT * FROM open_people JOIN visits ON visits.person = open_people.id ORDER BY visits.id
SELECT p.*, v.* FROM people p JOIN visits v ON v.person = p.id ORDER BY v.id
SELECT * FROM people NATURAL JOIN events ORDER BY id
SELECT id FROM people NATURAL JOIN events ORDER BY id
SELECT secret FROM people JOIN events USING (secret) ORDER BY 1
=SELECT id, place, name FROM people JOIN visits USING (id) ORDER BY id
SELECT j.* FROM people JOIN visits USING (id) AS j ORDER BY id
SELECT x.* FROM (people p JOIN visits v ON v.person = p.id) AS x (a, b, c, d) ORDER BY 1, 11
SELECT a, b, c FROM (people p JOIN visits v ON v.person = p.id) AS x (a, b, c, d, e, f, g, h, i, j, k) ORDER BY k
=SELECT a, b FROM (people p JOIN visits v ON v.person = p.id) AS x (a, b, c, d, e, f, g, h, i, j, k) ORDER BY k
SELECT name FROM people FULL JOIN (SELECT secret AS name, 1 AS one FROM people) x USING (name) ORDER BY 1
SELECT p.name, q.name FROM people p LEFT JOIN people q ON q.secret = p.secret AND q.id <> p.id ORDER BY p.id
SELECT name FROM people UNION ALL SELECT secret FROM people ORDER BY 1
=SELECT name FROM people UNION SELECT place FROM visits ORDER BY 1
SELECT id, name FROM people UNION SELECT 0, secret FROM people ORDER BY 1, 2
SELECT place FROM visits EXCEPT SELECT secret FROM people ORDER BY 1
SELECT name FROM people INTERSECT SELECT secret FROM people
(SELECT name AS x FROM people ORDER BY pin LIMIT 1) UNION ALL (SELECT place FROM visits ORDER BY id LIMIT 1)
SELECT pin FROM people UNION SELECT id FROM people ORDER BY 1
# aggregates, windows, grouping
17 SELECT max(secret), min(pin), array_agg(secret ORDER BY id), string_agg(secret, ',' ORDER BY id), count(DISTINCT pin), sum(pin), avg(pin), any_value(secret) FROM people WHERE id = 1
=SELECT max(name), count(*), array_agg(name ORDER BY id), string_agg(name, ',' ORDER BY id), count(DISTINCT name), sum(id) FROM people
SELECT string_agg(name, ',' ORDER BY secret) FROM people
SELECT array_agg(id ORDER BY pin) FROM people
SELECT count(*) FILTER (WHERE pin > 1003) FROM people
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY pin), mode() WITHIN GROUP (ORDER BY secret) FROM people
=SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id), mode() WITHIN GROUP (ORDER BY name) FROM people
SELECT rank('m') WITHIN GROUP (ORDER BY secret) FROM people
SELECT id, row_number() OVER (ORDER BY pin), lag(name) OVER (ORDER BY secret), first_value(secret) OVER (ORDER BY id), ntile(2) OVER w FROM people WINDOW w AS (ORDER BY pin) ORDER BY id
=SELECT id, row_number() OVER (ORDER BY name), lag(name) OVER w, sum(id) OVER (PARTITION BY name ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM people WINDOW w AS (ORDER BY id) ORDER BY id
SELECT count(*) OVER (PARTITION BY pin) FROM people ORDER BY id
SELECT id, sum(id) OVER (ORDER BY id RANGE BETWEEN pin - 1000 PRECEDING AND CURRENT ROW) FROM (SELECT id, max(pin) OVER () AS pin FROM people) x ORDER BY id
SELECT pin, count(*) FROM people GROUP BY pin ORDER BY 1
SELECT count(*) FROM people GROUP BY pin ORDER BY 1
SELECT count(*) FROM people GROUP BY pin % 2 ORDER BY 1
SELECT id, pin, grouping(pin) FROM people GROUP BY GROUPING SETS ((id), (pin), ()) ORDER BY 1, 2
=SELECT born, name, count(*), grouping(born, name) FROM people GROUP BY CUBE (born, name) ORDER BY 1, 2
SELECT name FROM people GROUP BY name HAVING max(pin) > 1003 ORDER BY name
SELECT DISTINCT pin FROM people ORDER BY 1
SELECT DISTINCT ON (pin) name FROM people ORDER BY pin, id
SELECT DISTINCT ON (pin % 2) name FROM people ORDER BY pin % 2, id
=SELECT DISTINCT ON (boss) boss, name FROM people ORDER BY boss, id
SELECT name FROM people ORDER BY secret
SELECT name FROM people ORDER BY pin DESC LIMIT 1
SELECT name AS n, secret AS s FROM people ORDER BY s
SELECT name FROM people ORDER BY (SELECT pin)
SELECT name FROM people WHERE pin > 1003 ORDER BY id
SELECT name FROM people WHERE secret = 'alpha1'
SELECT name FROM people ORDER BY id LIMIT (SELECT max(pin) - 1000 FROM people)
SELECT name FROM people ORDER BY id OFFSET (SELECT min(pin) - 1000 FROM people)
SELECT sum_of(id), sum_of(pin) FROM people
# functions in FROM and in lists
SELECT unnest(ARRAY[secret, name]) FROM people ORDER BY id, 1
=SELECT id, unnest(tags) FROM people ORDER BY 1, 2
=SELECT t, n FROM people p, unnest(p.tags) WITH ORDINALITY u (t, n) ORDER BY p.id, n
=SELECT * FROM unnest(ARRAY[1, 2]), unnest('{a,b}'::text[]) AS t
=SELECT * FROM unnest(ARRAY[1, 2], ARRAY['x', 'y']) AS t (a, b)
=SELECT u.* FROM people p, unnest(p.tags) u ORDER BY p.id, 1
SELECT generate_series(1, pin - 999) FROM people ORDER BY 1
SELECT p.name, g FROM people p, generate_series(1, p.pin - 999) g ORDER BY p.id, g
SELECT regexp_split_to_table(secret, ''), regexp_matches(secret, '.') FROM people WHERE id = 1
SELECT s FROM people, string_to_table(secret, NULL) s WHERE id = 1
=SELECT * FROM generate_series(1, 3) WITH ORDINALITY
=SELECT * FROM ROWS FROM (generate_series(1, 3), generate_series(1, 2)) AS t (a, b)
=SELECT a, b FROM ROWS FROM (generate_series(1, 3), json_to_record('{"x": 1}') AS (x int)) AS t (a, b)
=SELECT * FROM current_database(), lower('X') l, current_date d WHERE false
SELECT * FROM people TABLESAMPLE system (100) REPEATABLE (1) ORDER BY id
=SELECT name FROM people TABLESAMPLE bernoulli (100) REPEATABLE (1) ORDER BY id
# inheritance, partitions, views
SELECT secret FROM events ORDER BY id
=SELECT id, day, kind FROM events ORDER BY id
SELECT secret FROM events_2024 ORDER BY id
=SELECT id, day, kind FROM events_2024 ORDER BY id
SELECT e.* FROM events e ORDER BY id
SELECT e FROM ONLY events_2024 e ORDER BY id
=SELECT id, note FROM base ORDER BY id
SELECT * FROM derived ORDER BY id
=SELECT b.tableoid::regclass::text, b.* FROM base b ORDER BY id
SELECT base::text FROM base ORDER BY id
SELECT what FROM renamed ORDER BY who
=SELECT who FROM renamed ORDER BY who
SELECT loud FROM nested ORDER BY who
=SELECT who FROM nested ORDER BY who
=SELECT n FROM grouped ORDER BY person
SELECT top FROM grouped ORDER BY person
SELECT s FROM kept ORDER BY id
=SELECT id, name FROM kept ORDER BY id
=SELECT * FROM other.people
SELECT s FROM calling ORDER BY id
SELECT n FROM calling ORDER BY id
# functions in SQL
=SELECT add(id, 1), add(2, 3), greet(name), greet(again => 'x', who => name), total(1, 2, id), total(VARIADIC ARRAY[1, id]) FROM people ORDER BY id
SELECT greet(secret), greet('x', secret), add(pin, 1), total(1, pin) FROM people ORDER BY id
SELECT secret_of(1), twice(2), pinned(3), atomic(4)
=SELECT name_of(1), pinned_name(2), elsewhere()
SELECT secret_of(id) FROM visits WHERE id < 7 ORDER BY id
SELECT * FROM by_secret('alpha1')
SELECT by_secret('alpha2')
SELECT from_pin(1003), from_pin(n) FROM generate_series(1000, 1005) n
SELECT * FROM listed(3)
SELECT k, open FROM listed(3)
=SELECT x.k, x.open FROM listed(3) x
SELECT closed FROM listed(3)
SELECT (listed(5)).closed
=SELECT (listed(5)).open
SELECT (listed(5)).*
SELECT listed(5)
SELECT * FROM rows_of(5)
=SELECT name, id FROM rows_of(5)
SELECT name, secret FROM whole_of(5)
SELECT (rows_of(5)).pin
SELECT * FROM outs(1)
=SELECT a FROM outs(1)
SELECT b FROM outs(1)
SELECT outs(2)
SELECT v.id, l.* FROM visits v, LATERAL listed(v.person) l ORDER BY v.id, l.k
SELECT loose_definer(1), procedural(1), around(1)
SELECT * FROM procedural_rows() ORDER BY id
SELECT * FROM procedural_table() ORDER BY x
SELECT count_up()
SELECT secret_of(by_secret) FROM by_secret('alpha1')
SELECT name FROM people WHERE secret_of(id) > 'm' ORDER BY id
SELECT name FROM people WHERE name_of(id) = 'name1'
SELECT endless(2)
SELECT name ### 'x', secret ### 'y' FROM people ORDER BY id
# writes that return rows
INSERT INTO visits VALUES (100, 1, 'x') RETURNING *
=INSERT INTO visits VALUES (100, 1, 'x'), (101, 2, 'y') RETURNING id, place
INSERT INTO visits SELECT 100 + id, id, secret FROM people RETURNING place
UPDATE people SET name = secret WHERE id = 1 RETURNING name
UPDATE people SET name = 'x' WHERE id = 1 RETURNING secret, name
=UPDATE people SET name = 'x' WHERE id = 1 RETURNING name, id
UPDATE visits SET place = p.secret FROM people p WHERE p.id = person RETURNING visits.id, place
UPDATE visits SET (place, at) = (SELECT secret, born FROM people WHERE id = 1) WHERE visits.id = 1 RETURNING place
DELETE FROM visits USING people p WHERE p.id = person AND p.pin > 1003 RETURNING visits.id
DELETE FROM visits WHERE id = 1 RETURNING *
INSERT INTO people (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = people.secret RETURNING name
INSERT INTO people (id, name, secret) VALUES (1, 'x', 'y') ON CONFLICT (id) DO UPDATE SET name = excluded.secret || people.pin RETURNING name
17 MERGE INTO visits v USING people p ON v.id = p.id WHEN MATCHED THEN UPDATE SET place = p.secret RETURNING merge_action(), v.id, v.place
17 MERGE INTO visits v USING people p ON v.id = p.id AND p.pin > 1003 WHEN MATCHED THEN DELETE RETURNING v.id, p.secret
WITH d AS (DELETE FROM visits WHERE id = 1 RETURNING person), u AS (UPDATE people SET name = 'x' FROM d WHERE people.id = d.person RETURNING secret) SELECT * FROM u
WITH i AS (INSERT INTO visits VALUES (100, 1, 'x') RETURNING place) SELECT place FROM i
SELECT copied(1)
# cursors, prepared statements, EXPLAIN
DECLARE c CURSOR FOR SELECT name, secret FROM people ORDER BY id ;; FETCH 2 FROM c
DECLARE c SCROLL CURSOR FOR SELECT secret AS name FROM people ORDER BY id ;; FETCH LAST FROM c
=DECLARE c CURSOR FOR SELECT name FROM people ORDER BY id ;; FETCH ALL FROM c
DECLARE c CURSOR FOR SELECT id FROM people ORDER BY pin FOR UPDATE ;; FETCH 1 FROM c ;; UPDATE people SET name = 'x' WHERE CURRENT OF c RETURNING id, secret
PREPARE p AS SELECT secret FROM people WHERE id = $1 ;; EXECUTE p (1)
=PREPARE p (int) AS SELECT name FROM people WHERE id = $1 ;; EXECUTE p (1)
PREPARE p (text) AS SELECT $1 ;; EXECUTE p ((SELECT secret FROM people WHERE id = 1))
EXPLAIN (COSTS off, VERBOSE) SELECT secret_of(1)
=EXPLAIN (COSTS off) SELECT name FROM people WHERE id = 1
EXPLAIN (COSTS off, ANALYZE, TIMING off, SUMMARY off, BUFFERS off) SELECT name FROM people WHERE pin > 1003
# the server's own
SELECT tablename, attname, most_common_vals::text, histogram_bounds::text FROM pg_stats WHERE tablename = 'people' AND schemaname = 'public' ORDER BY attname
SELECT stavalues1::text FROM pg_statistic WHERE starelid = 'people'::regclass ORDER BY staattnum
=SELECT relname, relkind FROM pg_class WHERE relname = 'people' AND relnamespace = 'public'::regnamespace
=SELECT column_name FROM information_schema.columns WHERE table_name = 'people' AND table_schema = 'public' ORDER BY ordinal_position
=SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'public.people'::regclass ORDER BY 1
SELECT query_to_xml('SELECT secret FROM people', true, false, '')::text
SELECT table_to_xml('people', true, false, '')::text
SELECT schema_to_xml('public', true, false, '')::text
DECLARE c CURSOR FOR SELECT secret FROM people ORDER BY id ;; SELECT cursor_to_xml('c', 2, true, false, '')::text
SELECT word FROM ts_stat('SELECT to_tsvector(''simple'', secret) FROM people') ORDER BY word
SELECT set_config('a.b', secret, true) FROM people WHERE id = 1
SELECT set_config('a.b', secret, true) FROM people WHERE id = 1 ;; SELECT current_setting('a.b')
SELECT lo_from_bytea(4711, secret::bytea) FROM people WHERE id = 1 ;; SELECT encode(lo_get(4711), 'escape')
SELECT lo_from_bytea(4711, secret::bytea) FROM people WHERE id = 1 ;; SELECT encode(data, 'escape') FROM pg_largeobject WHERE loid = 4711
SELECT setval('s', (SELECT pin FROM people WHERE id = 1))
CREATE TEMP TABLE t AS SELECT secret AS x FROM people WHERE id = 1 ;; SELECT x FROM t
SELECT pg_size_pretty(pg_relation_size('other.people')), pg_typeof(secret) FROM people WHERE id = 1
SELECT pg_column_size(secret), octet_length(secret), ascii(secret), md5(secret), hashtext(secret) FROM people WHERE id = 1
SELECT substr(secret, 2, 3), substring(secret FROM 1 FOR 2), substr(name, 1, 2) FROM people ORDER BY id
=SELECT c.both_, (c.both_).a, (both_).*, (list[1]).b FROM codes c
=SELECT u.* FROM codes, unnest(list) u
=SELECT a, b FROM codes c, unnest(c.list) WITH ORDINALITY
