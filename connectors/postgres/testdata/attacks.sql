# Attempts to see hidden values. Steps of one attempt are separated by ;;
# {table.column} is the hidden value in the first row; see also the files in attack/.
SELECT * FROM customers WHERE id = 1
SELECT email AS city FROM customers WHERE id = 1
SELECT c.email || '' FROM customers c WHERE id = 1
SELECT upper(email), reverse(email), left(email, 5), md5(email) FROM customers WHERE id = 1
SELECT substr(email, 1, 3), substr(email, 4, 3), substr(email, 7, 3) FROM customers WHERE id = 1
SELECT encode(email::bytea, 'hex'), encode(email::bytea, 'base64') FROM customers WHERE id = 1
SELECT ascii(substr(email, 1, 1)), length(email) FROM customers WHERE id = 1
SELECT string_to_array(email, 'q') FROM customers WHERE id = 1
SELECT unnest(string_to_array(email, NULL)) FROM customers WHERE id = 1
SELECT t FROM customers, unnest(string_to_array(email, NULL)) t WHERE id = 1
SELECT regexp_split_to_table(email, '') FROM customers WHERE id = 1
SELECT * FROM (SELECT email e FROM customers) x WHERE e IS NOT NULL
SELECT x.e FROM (SELECT email e FROM customers WHERE id = 1) x
WITH c AS (SELECT email e FROM customers WHERE id = 1) SELECT e FROM c
WITH c (z) AS (SELECT email FROM customers WHERE id = 1) SELECT z FROM c
WITH customers AS (SELECT * FROM public.customers WHERE id = 1) SELECT email FROM customers
WITH RECURSIVE r (i, e) AS (SELECT 1, ''::text UNION ALL SELECT i + 1, c.email FROM r JOIN customers c ON c.id = r.i WHERE i < 3) SELECT e FROM r
WITH RECURSIVE r (a, b) AS (SELECT ''::text, email::text FROM customers WHERE id = 1 UNION ALL SELECT b, a FROM r WHERE a = '') SELECT a FROM r
WITH RECURSIVE r (a, b, c) AS (SELECT ''::text, ''::text, email::text FROM customers WHERE id = 1 UNION ALL SELECT b, c, a FROM r) SELECT a FROM r LIMIT 5
WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT email FROM customers WHERE id = 1) SELECT * FROM a
SELECT 'x' UNION ALL SELECT email FROM customers WHERE id = 1
SELECT city FROM customers WHERE id = 2 UNION SELECT email FROM customers WHERE id = 1
SELECT name FROM customers INTERSECT SELECT email FROM customers
(SELECT city FROM customers WHERE id = 1) UNION ALL (SELECT email FROM customers WHERE id = 1) ORDER BY 1
VALUES ((SELECT email FROM customers WHERE id = 1))
SELECT (SELECT email FROM customers WHERE id = 1)
SELECT (SELECT (SELECT c.email)) FROM customers c WHERE id = 1
SELECT (SELECT email FROM unnest(ARRAY['x']) t) FROM customers WHERE id = 1
SELECT (SELECT email FROM generate_series(1, 1) g) FROM customers WHERE id = 1
SELECT (SELECT email FROM jsonb_each('{"a": 1}') j) FROM customers WHERE id = 1
SELECT (SELECT email FROM products p LIMIT 1) FROM customers WHERE id = 1
SELECT ARRAY(SELECT email FROM customers WHERE id = 1)
SELECT ARRAY[email, phone] FROM customers WHERE id = 1
SELECT (ARRAY[email])[1] FROM customers WHERE id = 1
SELECT c FROM customers c WHERE id = 1
SELECT c.* FROM customers c WHERE id = 1
SELECT (c).email, (c).* FROM customers c WHERE id = 1
SELECT (SELECT c) FROM customers c WHERE id = 1
SELECT email(c) FROM customers c WHERE id = 1
SELECT c.text FROM customers c WHERE id = 1
SELECT c.varchar FROM customers c WHERE id = 1
SELECT c.row_to_json FROM customers c WHERE id = 1
SELECT text(c), name(c) FROM customers c WHERE id = 1
SELECT c::text FROM customers c WHERE id = 1
SELECT cast(c AS varchar) FROM customers c WHERE id = 1
SELECT ROW(c.*)::text FROM customers c WHERE id = 1
SELECT row_to_json(c), to_jsonb(c), to_json(c.*) FROM customers c WHERE id = 1
SELECT json_agg(c) FROM customers c WHERE id = 1
SELECT array_agg(email), string_agg(email, ','), max(email), min(email) FROM customers WHERE id = 1
SELECT json_object_agg(id, email) FROM customers WHERE id = 1
SELECT json_build_object('e', email) FROM customers WHERE id = 1
SELECT jsonb_build_array(email) ->> 0 FROM customers WHERE id = 1
SELECT to_jsonb(c) ->> 'email' FROM customers c WHERE id = 1
SELECT j.value FROM customers c, jsonb_each_text(to_jsonb(c)) j WHERE id = 1
SELECT value FROM customers c, jsonb_each_text(to_jsonb(c)) WHERE id = 1
SELECT j.* FROM customers c, json_populate_record(c, '{}') j WHERE id = 1
SELECT (json_populate_record(c, '{}')).email FROM customers c WHERE id = 1
SELECT (jsonb_populate_record(NULL::customers, to_jsonb(c))).email FROM customers c WHERE id = 1
SELECT x.e FROM customers c, jsonb_to_record(to_jsonb(c)) AS x (email text), LATERAL (SELECT x.email) y (e) WHERE id = 1
SELECT CASE WHEN true THEN email END FROM customers WHERE id = 1
SELECT CASE email WHEN 'x' THEN 1 ELSE 2 END FROM customers WHERE id = 1
SELECT coalesce(NULL, email), greatest(email, 'a'), nullif(email, 'x') FROM customers WHERE id = 1
SELECT first_value(email) OVER (), lag(email, 0) OVER (), nth_value(email, 1) OVER () FROM customers WHERE id = 1
SELECT percentile_disc(0) WITHIN GROUP (ORDER BY email), mode() WITHIN GROUP (ORDER BY email) FROM customers WHERE id = 1
SELECT format('%s', email), concat(email), concat_ws('-', email, phone), overlay(email placing 'x' from 1) FROM customers WHERE id = 1
SELECT translate(email, 'abc', 'xyz'), replace(email, '@', ' '), lpad(email, 40), quote_literal(email) FROM customers WHERE id = 1
SELECT to_tsvector(email), to_tsvector('simple', email)::text FROM customers WHERE id = 1
SELECT xmlelement(name e, email), xmlforest(email) FROM customers WHERE id = 1
SELECT * FROM XMLTABLE('/c' PASSING (SELECT xmlelement(name c, xmlelement(name e, email)) FROM customers WHERE id = 1) COLUMNS e text PATH 'e')
SELECT query_to_xml('select email from customers where id = 1', true, false, '')
SELECT table_to_xml('employees', true, false, '')
SELECT cursor_to_xml('c', 1, true, false, '')
SELECT email::varchar(30), email::char(30), email::name FROM customers WHERE id = 1
SELECT email COLLATE "C" FROM customers WHERE id = 1
SELECT email::int FROM customers WHERE id = 1
SELECT email::date FROM customers WHERE id = 1
SELECT email::regclass FROM customers WHERE id = 1
SELECT email::regrole FROM customers WHERE id = 1
SELECT email::json FROM customers WHERE id = 1
SELECT email::tsquery, email::jsonpath FROM customers WHERE id = 1
SELECT to_regclass(email), to_number(email, '9') FROM customers WHERE id = 1
SELECT 1 / (length(email) - length(email)) FROM customers WHERE id = 1
SELECT pg_typeof(email), has_table_privilege(email, 'select') FROM customers WHERE id = 1
SELECT set_config('shop.x', email, false) FROM customers WHERE id = 1 ;; SELECT current_setting('shop.x') ;; SHOW shop.x
SELECT pg_notify('x', email) FROM customers WHERE id = 1
SELECT nosuch(email) FROM customers WHERE id = 1
SELECT last_card(1), last_card(2), last_card(3)
SELECT * FROM last_card(1)
SELECT customer_email(1)
SELECT e FROM customer_email(1) e
SELECT name FROM customers WHERE customer_email(id) LIKE 'z%'
SELECT contact FROM customer_overview WHERE id = 1
SELECT o FROM customer_overview o WHERE id = 1
SELECT * FROM customer_overview NATURAL JOIN customers WHERE id = 1
SELECT detail FROM audit_log WHERE id = 1
SELECT detail ->> 'k' FROM audit_log_2024 WHERE id = 1
SELECT l.detail #>> '{k}', l.* FROM audit_log_2024 l WHERE id = 1
SELECT a.* FROM (audit_log_2024 JOIN customers USING (id)) a WHERE id = 1
SELECT x.b FROM customers AS x (a, n, b) WHERE x.a = 1
SELECT j.c3 FROM (customers JOIN products USING (id)) AS j (c1, c2, c3) WHERE j.c1 = 1
SELECT * FROM customers NATURAL JOIN employees
SELECT email FROM customers JOIN employees USING (email)
SELECT email FROM customers FULL JOIN employees USING (email) LIMIT 5
SELECT u.email FROM customers JOIN employees USING (email) AS u
SELECT l.e FROM customers c, LATERAL (SELECT c.email AS e) l WHERE id = 1
SELECT l.e FROM customers c CROSS JOIN LATERAL (VALUES (c.email)) l (e) WHERE id = 1
SELECT s.e FROM customers c TABLESAMPLE system (100), LATERAL (SELECT c.email e) s WHERE id = 1
SELECT id FROM customers WHERE email LIKE 'zq%'
SELECT id FROM customers WHERE email > 'z'
SELECT id FROM customers WHERE left(email, 1) = 'z'
SELECT id FROM customers WHERE NOT (email <> '{customers.email}')
SELECT id FROM customers ORDER BY national_id
SELECT national_id, count(*) FROM customers GROUP BY national_id
SELECT DISTINCT national_id FROM customers
SELECT id FROM customers GROUP BY id HAVING max(national_id) > 'N'
SELECT id, rank() OVER (ORDER BY national_id) FROM customers
SELECT count(*) FILTER (WHERE national_id LIKE 'N%') FROM customers
SELECT name FROM employees ORDER BY salary DESC
SELECT name FROM employees WHERE salary > 98000
SELECT name, salary > 98000 FROM employees
SELECT name, salary = {employees.salary} FROM employees WHERE id = 1
SELECT width_bucket(salary, 0, 100000, 1000) FROM employees WHERE id = 1
SELECT generate_series(1, salary::int / 1000) FROM employees WHERE id = 1
SELECT g FROM employees e, generate_series(1, e.salary::int / 1000) g WHERE e.id = 1
SELECT repeat('x', salary::int) FROM employees WHERE id = 1
SELECT salary + 2147483647 FROM employees WHERE id = 1
SELECT d FROM customers c JOIN generate_series('1931-01-01', '1931-12-31', interval '1 day') d ON c.date_of_birth = d WHERE id = 1
SELECT v FROM customers c JOIN (VALUES ('{customers.national_id}'), ('x')) v (n) ON c.national_id = v.n
SELECT id FROM products LIMIT (SELECT length(national_id) FROM customers WHERE id = 1)
SELECT id FROM products OFFSET (SELECT ascii(national_id) FROM customers WHERE id = 1)
SELECT age(date_of_birth), extract(year FROM date_of_birth), date_of_birth - date '1931-01-01' FROM customers WHERE id = 1
SELECT CASE WHEN email LIKE 'z%' THEN 1 / (id - id) ELSE 0 END FROM customers WHERE id = 1
SELECT email LIKE 'z%' AND 1 / (id - id) = 1 FROM customers WHERE id = 1
SELECT (SELECT 1 / (id - id) WHERE email LIKE 'z%') FROM customers WHERE id = 1
SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'customers'
SELECT s.* FROM pg_stats s LIMIT 50
SELECT stavalues1 FROM pg_statistic
SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()
SELECT * FROM pg_stat_get_activity(pg_backend_pid())
EXPLAIN (ANALYZE, VERBOSE) SELECT email FROM customers WHERE id = 1
EXPLAIN VERBOSE SELECT customer_email(1)
EXPLAIN SELECT * FROM customers WHERE national_id < 'Nq'
INSERT INTO products (sku, name, price) SELECT 'zz', email, 1 FROM customers WHERE id = 1 RETURNING name
INSERT INTO products (sku, name, price) VALUES ('zz', (SELECT email FROM customers WHERE id = 1), 1) RETURNING name
INSERT INTO products (id, sku, name, price) VALUES (1, 'a', 'b', 1) ON CONFLICT (id) DO UPDATE SET name = (SELECT email FROM customers WHERE id = 1) RETURNING name
UPDATE customers SET city = email WHERE id = 1 RETURNING city
UPDATE customers SET email = reverse(email) WHERE id = 1 RETURNING email
UPDATE customers SET (city, notes) = (email, phone) WHERE id = 1 RETURNING city, notes
UPDATE products SET name = c.email FROM customers c WHERE c.id = 1 AND products.id = 1 RETURNING products.name
UPDATE customers SET city = city WHERE id = 1 RETURNING *
DELETE FROM customers WHERE id = 1 RETURNING email, customers
MERGE INTO products p USING customers c ON p.id = c.id AND c.id = 1 WHEN MATCHED THEN UPDATE SET name = c.email
WITH u AS (UPDATE customers SET city = 'x' WHERE id = 1 RETURNING *) SELECT u.email, u FROM u
WITH u AS (UPDATE customers SET city = 'x' WHERE id = 1 RETURNING email e) INSERT INTO products (sku, name, price) SELECT 'q', e, 1 FROM u
INSERT INTO customers (id, name, email, city, country) SELECT 1, name, email, city, country FROM customers WHERE id = 1
INSERT INTO customers (id, name, email, city, country) VALUES (900001, 'x', 'nobody@example.com', 'x', 'DE')
CREATE TABLE stolen AS SELECT email FROM customers WHERE id = 1 ;; SELECT * FROM stolen
CREATE TEMP TABLE stolen AS SELECT email AS x FROM customers WHERE id = 1 ;; SELECT x FROM stolen
SELECT email INTO stolen FROM customers WHERE id = 1 ;; TABLE stolen
CREATE VIEW v AS SELECT email AS x FROM customers ;; SELECT x FROM v LIMIT 1
CREATE VIEW v AS SELECT 1 ;; SELECT * FROM v
CREATE MATERIALIZED VIEW v AS SELECT email AS x FROM customers ;; SELECT x FROM v LIMIT 1
BEGIN ;; ALTER TABLE customers RENAME COLUMN city TO city_ ;; ALTER TABLE customers RENAME COLUMN email TO city ;; SELECT city FROM customers WHERE id = 1 ;; SELECT city || '' FROM customers WHERE id = 1 ;; ROLLBACK
ALTER TABLE products RENAME TO goods ;; ALTER TABLE customers RENAME TO products ;; SELECT email || '' FROM products WHERE id = 1
BEGIN ;; CREATE FUNCTION peek() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT email FROM customers WHERE id = 1' ;; SELECT peek() ;; EXPLAIN SELECT 1 WHERE peek() = 'x' ;; ROLLBACK
CREATE FUNCTION peek() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT email FROM customers WHERE id = 1' ;; SELECT peek() ;; SELECT * FROM peek() p ;; EXPLAIN SELECT 1 WHERE peek() = 'x' ;; SELECT 1 WHERE peek() LIKE 'z%'
CREATE FUNCTION lower(text) RETURNS text LANGUAGE sql AS 'SELECT email::text FROM customers WHERE id = 1' ;; SELECT lower('x') ;; SELECT public.lower('x')
CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''%'', (SELECT email FROM customers WHERE id = 1); END' ;; SELECT boom()
CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION SQLSTATE ''42P01'' USING MESSAGE = (SELECT email FROM customers WHERE id = 1); END' ;; SELECT boom()
CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', (SELECT email FROM customers WHERE id = 1); RETURN 1; END' ;; SELECT boom()
CREATE OPERATOR ## (RIGHTARG = int, FUNCTION = customer_email) ;; SELECT ## 1
CREATE FUNCTION eq(text, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END' ;; CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = eq) ;; SELECT id FROM customers WHERE national_id OPERATOR(public.=) 'x'
CREATE DOMAIN d AS text CHECK (VALUE LIKE 'zz%') ;; SELECT email::d FROM customers WHERE id = 1
CREATE INDEX ON customers ((1 / (length(email) - length(email))))
CREATE UNIQUE INDEX ON customers ((left(email, 1)))
ALTER TABLE customers ADD CHECK (email LIKE 'a%')
ALTER TABLE customers ALTER COLUMN city TYPE text USING email ;; SELECT city FROM customers WHERE id = 1
ALTER TABLE customers ADD COLUMN z text GENERATED ALWAYS AS (upper(email::text)) STORED ;; SELECT z FROM customers WHERE id = 1
DO $$ BEGIN RAISE NOTICE '%', (SELECT email FROM customers WHERE id = 1); END $$
DO $$ BEGIN RAISE EXCEPTION '%', (SELECT email FROM customers WHERE id = 1); END $$
DO $$ BEGIN PERFORM set_config('shop.y', (SELECT email::text FROM customers WHERE id = 1), false); END $$ ;; SHOW shop.y ;; SELECT current_setting('shop.y', true)
DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE t AS SELECT email AS city FROM customers WHERE id = 1'; END $$ ;; SELECT city FROM t
DO $$ BEGIN PERFORM set_config('standard_conforming_strings', 'off', false); END $$ ;; SELECT '\'', email, ' FROM customers WHERE id = 1 --'
PREPARE p AS SELECT email FROM customers WHERE id = 1 ;; EXECUTE p
PREPARE p AS SELECT email FROM customers WHERE id = 1 ;; CREATE TEMP TABLE t AS EXECUTE p ;; SELECT * FROM t
BEGIN ;; DECLARE c CURSOR FOR SELECT email FROM customers WHERE id = 1 ;; FETCH ALL FROM c ;; SELECT cursor_to_xml('c', 1, true, false, '') ;; ROLLBACK
DECLARE c CURSOR WITH HOLD FOR SELECT email FROM customers WHERE id = 1 ;; FETCH ALL FROM c
COPY customers TO STDOUT
COPY (SELECT email FROM customers) TO STDOUT
LOCK TABLE customers ;; SELECT email FROM customers WHERE id = 1
SET search_path = pg_temp, public ;; SELECT email FROM customers WHERE id = 1
CREATE SCHEMA s CREATE VIEW customers AS SELECT 1 ;; SET search_path = s, public ;; SELECT * FROM customers
SELECT email FROM ONLY customers WHERE id = 1
SELECT email FROM customers * WHERE id = 1
SELECT customers.email, public.customers.email FROM public.customers WHERE id = 1
SELECT card_number, right(card_number, 12), card_number::numeric, card_holder FROM payments WHERE id = 1
SELECT left(card_number, 8), right(left(card_number, 12), 8) FROM payments WHERE id = 1
SELECT iban FROM payments WHERE id = 1 UNION ALL SELECT iban FROM employees WHERE id = 1
SELECT grouping(email), email FROM customers WHERE id = 1 GROUP BY ROLLUP (email)
SELECT lo_from_bytea(0, email::bytea) FROM customers WHERE id = 1
SELECT pg_logical_emit_message(false, 'x', email) FROM customers WHERE id = 1
SELECT ts_headline(email, plainto_tsquery('zqx')) FROM customers WHERE id = 1
SELECT (regexp_match(email, '(.*)@'))[1], regexp_replace(email, '@', '#') FROM customers WHERE id = 1
SELECT starts_with(email, 'z'), strpos(email, 'q'), email ~ '^z', email = '{customers.email}' FROM customers WHERE id = 1
SELECT JSON_OBJECT('a': email), JSON_ARRAY(email) FROM customers WHERE id = 1
SELECT min(email) FROM customers GROUP BY id ORDER BY min(email)
SELECT convert_to(email, 'UTF8'), decode(encode(email::bytea, 'hex'), 'hex') FROM customers WHERE id = 1
SELECT e.m FROM (SELECT name, max(email) m FROM customers GROUP BY name) e WHERE e.m LIKE 'z%'
TABLE customers LIMIT 3
CREATE TEMP TABLE customers (LIKE public.customers) ;; UPDATE pg_settings SET setting = 'public, pg_temp' WHERE name = 'search_path' ;; SELECT upper(email) || '' FROM customers WHERE id = 1
CREATE TEMP TABLE customers (LIKE public.customers) ;; BEGIN ;; DECLARE c CURSOR FOR SELECT set_config('search_path', 'public, pg_temp', false) ;; FETCH c ;; SELECT upper(email) || '' FROM customers WHERE id = 1
CREATE TEMP TABLE customers (LIKE public.customers) ;; CREATE TEMP TABLE d (i int, x text DEFAULT set_config('search_path', 'public, pg_temp', false)) ;; INSERT INTO d (i) VALUES (1) ;; SELECT upper(email) || '' FROM customers WHERE id = 1
CREATE TEMP TABLE customers (LIKE public.customers) ;; CREATE TEMP TABLE d (i int CHECK (set_config('search_path', 'public, pg_temp', false) <> '')) ;; INSERT INTO d VALUES (1) ;; SELECT upper(email) || '' FROM customers WHERE id = 1
CREATE TABLE p (email text, national_id text) ;; ALTER TABLE customers INHERIT p ;; SELECT email || '', national_id FROM p WHERE email IS NOT NULL
CREATE TABLE p (LIKE customers) PARTITION BY RANGE (id) ;; ALTER TABLE p ATTACH PARTITION customers DEFAULT ;; SELECT email || '', national_id FROM p WHERE id = 1
ALTER TABLE customers RENAME COLUMN national_id TO n ;; SELECT n FROM customers WHERE id = 1
ALTER INDEX customers RENAME TO c2 ;; SELECT national_id FROM c2 WHERE id = 1
CREATE TABLE guess (x text PRIMARY KEY, z text) ;; ALTER TABLE customers ADD FOREIGN KEY (national_id) REFERENCES guess
CREATE UNIQUE INDEX ON customers (id, national_id) ;; CREATE TABLE guess (i int, x text, FOREIGN KEY (i, x) REFERENCES customers (id, national_id)) ;; INSERT INTO guess VALUES (1, 'x')
