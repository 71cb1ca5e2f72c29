-- Cursors.
BEGIN;
DECLARE c CURSOR FOR SELECT national_id FROM customers ORDER BY id;
FETCH 3 FROM c;
FETCH ALL c;
MOVE ABSOLUTE 1 IN c;
FETCH PRIOR FROM c;
FETCH RELATIVE 0 FROM c;
CLOSE c;
ROLLBACK;

BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, upper(national_id) AS city FROM customers;
FETCH ABSOLUTE 2 FROM c;
FETCH LAST FROM c;
FETCH BACKWARD 2 FROM c;
COMMIT;

BEGIN;
DECLARE "C u" BINARY INSENSITIVE CURSOR FOR SELECT national_id, salary FROM customers JOIN employees USING (id);
FETCH FORWARD ALL IN "C u";
COMMIT;

DECLARE held CURSOR WITH HOLD FOR SELECT national_id FROM customers;
FETCH 2 FROM held;
SELECT * FROM pg_cursors;

-- The name of a cursor is used again for another query.
BEGIN;
DECLARE c CURSOR FOR SELECT name FROM customers;
CLOSE c;
DECLARE c CURSOR FOR SELECT national_id FROM customers;
FETCH 2 FROM c;
ROLLBACK;

BEGIN;
DECLARE c CURSOR FOR SELECT national_id FROM customers;
SAVEPOINT s;
CLOSE c;
DECLARE c CURSOR FOR SELECT name FROM customers;
ROLLBACK TO s;
FETCH 2 FROM c;
COMMIT;

BEGIN;
DECLARE c CURSOR FOR SELECT name FROM customers;
SAVEPOINT s;
CLOSE c;
DECLARE c CURSOR FOR SELECT national_id FROM customers;
FETCH 1 FROM c;
RELEASE s;
FETCH 2 FROM c;
COMMIT;

-- Declared while the table had other columns.
BEGIN;
DECLARE c CURSOR FOR SELECT national_id FROM customers;
ALTER TABLE employees RENAME TO staff;
FETCH 2 FROM c;
ROLLBACK;

BEGIN;
DECLARE c CURSOR FOR SELECT * FROM customers FOR UPDATE;
FETCH 1 FROM c;
UPDATE customers SET city = 'x' WHERE CURRENT OF c RETURNING national_id, city;
DELETE FROM payments WHERE customer_id = 1;
ROLLBACK;

BEGIN;
DECLARE c CURSOR FOR SELECT national_id FROM customers;
SELECT cursor_to_xml('c', 2, true, false, '');
SELECT * FROM cursor_to_xml('c', 2, true, false, '');
ROLLBACK;

-- Prepared statements.
PREPARE p AS SELECT national_id FROM customers WHERE id = 1;
EXECUTE p;
EXPLAIN EXECUTE p;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) EXECUTE p;
CREATE TEMP TABLE t AS EXECUTE p;
SELECT * FROM t;

PREPARE p (int) AS SELECT *, upper(national_id) FROM customers WHERE id = $1;
EXECUTE p (1);
EXECUTE p ((SELECT ascii(substr(national_id, 2)) - 100 FROM customers WHERE id = 1));
SELECT name, statement FROM pg_prepared_statements;

PREPARE p (text) AS SELECT id FROM customers WHERE national_id = $1;
EXECUTE p ('{customers.national_id}');

PREPARE p (text) AS SELECT id FROM customers WHERE email LIKE $1;
EXECUTE p ('zq%');

PREPARE p (int) AS SELECT $1, (SELECT national_id FROM customers WHERE id = $1);
EXECUTE p (1);

PREPARE p AS UPDATE customers SET city = 'x' WHERE id = 1 RETURNING national_id;
EXECUTE p;

PREPARE p AS SELECT $1::text;
EXECUTE p ((SELECT national_id FROM customers WHERE id = 1));

-- The names in a prepared statement mean something else when it runs.
CREATE SCHEMA s;
CREATE TABLE s.customers (national_id text);
SET search_path = s, public;
PREPARE p AS SELECT national_id || '' FROM customers;
SET search_path = public;
EXECUTE p;

CREATE TEMP TABLE customers (id int, national_id text);
PREPARE p AS SELECT national_id || '' FROM customers;
EXECUTE p;
DROP TABLE pg_temp.customers;
EXECUTE p;

PREPARE p AS SELECT name || '' FROM customers;
ALTER TABLE customers RENAME name TO name2;
ALTER TABLE customers RENAME national_id TO name;
EXECUTE p;

BEGIN;
PREPARE p AS SELECT name FROM products;
ROLLBACK;
EXECUTE p;

-- The search path.
CREATE SCHEMA s;
CREATE VIEW s.customers AS SELECT id, name AS national_id FROM public.customers;
SET search_path = s, public;
SELECT national_id FROM customers LIMIT 2;
SET search_path = public, s;
SELECT national_id || '' FROM customers LIMIT 2;
RESET search_path;
SELECT national_id || '' FROM customers LIMIT 2;

BEGIN;
SET LOCAL search_path = pg_catalog;
SELECT national_id FROM public.customers LIMIT 2;
COMMIT;
SELECT national_id || '' FROM customers LIMIT 2;

CREATE TEMP TABLE customers AS SELECT 1 AS id, 'x'::text AS national_id;
SELECT national_id FROM customers;
SELECT national_id FROM public.customers LIMIT 2;
SET search_path = public, pg_temp;
SELECT national_id || '' FROM customers LIMIT 2;

CREATE TEMP TABLE customers (id int, national_id text);
BEGIN;
SAVEPOINT s;
SET LOCAL search_path = public, pg_temp;
SELECT national_id || '' FROM customers LIMIT 2;
ROLLBACK TO s;
SELECT national_id || '' FROM customers LIMIT 2;
COMMIT;

CREATE TEMP TABLE customers (id int, national_id text);
SELECT set_config('search_path', 'public, pg_temp', false);
SELECT national_id || '' FROM customers LIMIT 2;

CREATE TEMP VIEW products AS SELECT id, national_id AS name FROM customers;
SELECT name || '' FROM products LIMIT 2;

CREATE TEMP TABLE pg_class AS SELECT national_id AS relname FROM customers;
SELECT relname FROM pg_class LIMIT 2;

CREATE SCHEMA s;
CREATE VIEW s.pg_tables AS SELECT national_id AS tablename FROM customers;
SET search_path = s, pg_catalog, public;
SELECT tablename FROM pg_tables LIMIT 2;

CREATE SCHEMA s;
CREATE TABLE s.t (x text);
SET search_path = s;
SELECT national_id FROM customers;
SELECT public.customers.national_id FROM public.customers LIMIT 1;

SET ROLE NONE;
SELECT national_id || '' FROM customers LIMIT 1;

SET SESSION AUTHORIZATION DEFAULT;
SELECT national_id || '' FROM customers LIMIT 1;

SET session_replication_role = replica;
SELECT national_id || '' FROM customers LIMIT 1;

DISCARD ALL;
SELECT national_id || '' FROM customers LIMIT 1;

DISCARD TEMP;
SELECT national_id || '' FROM customers LIMIT 1;

-- Transactions, failed ones and savepoints.
BEGIN;
CREATE TABLE t AS SELECT 1 AS x;
SAVEPOINT s;
ALTER TABLE t ADD COLUMN y text DEFAULT 'z';
SELECT y FROM t;
ROLLBACK TO s;
SELECT x FROM t;
SELECT national_id FROM customers LIMIT 1;
ROLLBACK;

BEGIN;
SELECT 1 / 0;
SELECT national_id FROM customers LIMIT 1;
ROLLBACK;
SELECT national_id || '' FROM customers LIMIT 1;

BEGIN;
CREATE VIEW v AS SELECT 1 AS x;
SELECT x FROM v;
CREATE OR REPLACE VIEW v AS SELECT 1 AS x, (SELECT national_id FROM customers WHERE id = 1) AS y;
SELECT y FROM v;
COMMIT;
SELECT y FROM v;

BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT national_id FROM customers LIMIT 2;
COMMIT AND CHAIN;
SELECT upper(national_id) FROM customers LIMIT 2;
ROLLBACK;

BEGIN;
ALTER TABLE customers RENAME national_id TO n;
SELECT n FROM customers LIMIT 1;
COMMIT;
SELECT n FROM customers LIMIT 1;
SELECT n || '' FROM customers LIMIT 1;

BEGIN;
CREATE TABLE t (x text);
COMMIT;
INSERT INTO t SELECT national_id FROM customers;
SELECT x FROM t;

BEGIN;
CREATE TABLE t (x text);
INSERT INTO t SELECT national_id FROM customers;
COMMIT;
SELECT x FROM t;

-- A view that was clean is made anew.
CREATE VIEW v AS SELECT name AS x FROM products;
SELECT x FROM v LIMIT 1;
CREATE OR REPLACE VIEW v AS SELECT national_id AS x FROM customers;
SELECT x FROM v LIMIT 1;

CREATE VIEW v AS SELECT name AS x FROM products;
PREPARE p AS SELECT x FROM v;
EXECUTE p;
CREATE OR REPLACE VIEW v AS SELECT national_id AS x FROM customers;
EXECUTE p;

CREATE TABLE t (x text);
PREPARE p AS SELECT x FROM t;
DROP TABLE t;
CREATE VIEW t AS SELECT national_id AS x FROM customers;
EXECUTE p;

-- Settings as a place to keep a value.
SELECT set_config('my.x', national_id, false) FROM customers WHERE id = 1;
SELECT current_setting('my.x', true);
SHOW my.x;
SELECT * FROM pg_settings WHERE name = 'my.x';

SELECT set_config('application_name', (SELECT national_id FROM customers WHERE id = 1), false);
SHOW application_name;

SELECT set_config('datestyle', national_id, false) FROM customers WHERE id = 1;

SELECT set_config('timezone', '<' || national_id || '>-1', false) FROM customers WHERE id = 1;
SHOW timezone;
SELECT now()::text IS NULL;

SELECT set_config('client_encoding', 'LATIN1', false);
SELECT national_id FROM customers LIMIT 1;

SELECT set_config('standard_conforming_strings', 'off', false);
SELECT '\'', national_id FROM customers LIMIT 1;

SET my.x = 'a';
SELECT set_config('my.x', national_id, true) FROM customers WHERE id = 1;
SHOW ALL;

UPDATE pg_settings SET setting = (SELECT national_id FROM customers WHERE id = 1) WHERE name = 'application_name';
SHOW application_name;

CREATE TABLE t (x int);
COMMENT ON TABLE t IS 'x';
SELECT obj_description('t'::regclass);

-- Notifications.
SELECT pg_notify('c', national_id) FROM customers WHERE id = 1;

LISTEN c;
NOTIFY c, 'x';
SELECT pg_notify('c', (SELECT national_id FROM customers WHERE id = 1));

SELECT pg_notify(national_id, 'x') FROM customers WHERE id = 1;
SELECT pg_listening_channels();

-- Advisory locks keep numbers, too.
SELECT pg_advisory_lock(salary::bigint) FROM employees WHERE id = 1;
SELECT objid, classid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT pg_advisory_unlock_all();

SELECT pg_try_advisory_lock(ascii(substr(national_id, 2))) FROM customers WHERE id = 1;
SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();

LOCK TABLE customers IN ACCESS SHARE MODE;
SELECT national_id || '' FROM customers LIMIT 1;

-- Several in one text.
SELECT 1; SELECT national_id FROM customers LIMIT 1;

SELECT name FROM customers LIMIT 1; -- and
;

-- Others' statements and one's own.
SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid();
SELECT q.query FROM pg_stat_activity q WHERE query LIKE '%national%';
SELECT pg_stat_get_backend_activity(1), pg_stat_get_activity(pg_backend_pid());
SELECT current_query();

-- Each: the planner's and other statistics.
SELECT * FROM pg_stats WHERE tablename = 'customers';
SELECT most_common_vals, histogram_bounds::text FROM pg_stats WHERE attname = 'national_id';
SELECT array_to_string(histogram_bounds::text::text[], ',') FROM pg_stats WHERE attname = 'salary';
SELECT s FROM pg_stats s LIMIT 20;
SELECT n_distinct, correlation, null_frac, avg_width FROM pg_stats WHERE tablename = 'customers';
SELECT attname FROM pg_stats WHERE tablename = 'customers' AND correlation > 0;
SELECT attname FROM pg_stats ORDER BY histogram_bounds::text;
SELECT attname FROM pg_stats WHERE histogram_bounds::text LIKE '%Nq%';
SELECT * FROM pg_statistic LIMIT 10;
SELECT stavalues1 FROM pg_statistic WHERE starelid = 'customers'::regclass;
SELECT * FROM pg_stats_ext;
SELECT * FROM pg_stats_ext_exprs;
SELECT x.v FROM (SELECT histogram_bounds AS v FROM pg_stats) x;
SELECT (SELECT histogram_bounds FROM pg_stats WHERE attname = 'national_id');
SELECT row_to_json(s) FROM pg_stats s LIMIT 5;
WITH s AS (SELECT * FROM pg_catalog.pg_stats) SELECT most_common_vals FROM s;
TABLE pg_stats;
TABLE pg_catalog.pg_statistic;
SELECT relid IS NULL, seq_scan IS NULL FROM pg_stat_user_tables WHERE relname = 'products';
SELECT * FROM pg_statistic_ext_data;
SELECT pg_mcv_list_items(stxdmcv) FROM pg_statistic_ext_data;
SELECT * FROM pg_stat_statements;
SELECT * FROM pg_largeobject;
SELECT * FROM pg_prepared_statements;
SELECT * FROM pg_cursors;
SELECT * FROM pg_shadow;
SELECT * FROM pg_authid;
SELECT * FROM pg_user_mappings;
SELECT * FROM pg_hba_file_rules;
SELECT * FROM pg_file_settings;

CREATE STATISTICS st ON national_id, email FROM customers;
ANALYZE customers;
SELECT * FROM pg_stats_ext;
SELECT most_common_vals FROM pg_stats_ext WHERE statistics_name = 'st';

CREATE STATISTICS st ON (lower(national_id)) FROM customers;
ANALYZE customers;
SELECT * FROM pg_stats_ext_exprs;
SELECT pg_get_statisticsobjdef_expressions(oid) FROM pg_statistic_ext;

CREATE INDEX i ON customers (lower(national_id));
ANALYZE customers;
SELECT histogram_bounds FROM pg_stats WHERE tablename = 'i';

ANALYZE VERBOSE customers;

VACUUM (VERBOSE) customers;

-- Plans.
EXPLAIN SELECT national_id FROM customers;
EXPLAIN (VERBOSE, COSTS off) SELECT upper(national_id) FROM customers WHERE id = 1;
EXPLAIN (FORMAT JSON) SELECT * FROM customers;
EXPLAIN (FORMAT XML, VERBOSE) SELECT c FROM customers c;
EXPLAIN (FORMAT YAML) SELECT national_id FROM customers ORDER BY id;

-- Each: plans of what reads hidden values.
EXPLAIN (ANALYZE, VERBOSE, TIMING off, SUMMARY off, BUFFERS off) SELECT national_id FROM customers WHERE id = 1;
EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off) SELECT id FROM customers WHERE national_id > 'Nq';
EXPLAIN SELECT id FROM customers WHERE national_id < 'Nq';
EXPLAIN (FORMAT JSON) SELECT id FROM customers WHERE salary(1) > 2;
EXPLAIN SELECT * FROM customers WHERE national_id = '{customers.national_id}';
EXPLAIN SELECT * FROM employees WHERE salary > 500000;
EXPLAIN SELECT customer_email(1);
EXPLAIN VERBOSE SELECT customer_email(1), last_card(1);
EXPLAIN SELECT * FROM products WHERE name = customer_email(1);
EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off) SELECT 1 WHERE last_card(1) > '5';
EXPLAIN SELECT id FROM products LIMIT (SELECT length(national_id) FROM customers WHERE id = 1);
EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off) SELECT 1 FROM employees, generate_series(1, (salary / 1000)::int) WHERE id = 1;
EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off) UPDATE customers SET city = 'x' WHERE national_id > 'Nq';
EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off) CREATE TABLE t AS SELECT national_id FROM customers;
EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off) SELECT count(DISTINCT national_id) FROM customers;
EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off, SERIALIZE) SELECT national_id FROM customers;
EXPLAIN (GENERIC_PLAN) SELECT id FROM customers WHERE national_id > $1;
EXPLAIN DECLARE c CURSOR FOR SELECT national_id FROM customers;
EXPLAIN ANALYZE SELECT 1 FROM customers WHERE national_id > 'Nq';
