CREATE TEMP TABLE customers AS SELECT 1 AS id, 'x'::text AS name;
SELECT * FROM customers;
SELECT * FROM public.customers LIMIT 1;
DROP TABLE customers;
SELECT * FROM customers LIMIT 1;

CREATE TEMP VIEW employees AS SELECT id, name, 1 AS salary FROM public.employees;
SELECT salary FROM employees;
DISCARD TEMP;
SELECT salary FROM employees;

CREATE SCHEMA mine;
CREATE TABLE mine.customers (id int, email text, national_id text);
SET search_path = mine, public;
SELECT national_id FROM customers;
DROP TABLE mine.customers;
SELECT national_id FROM customers;

CREATE FUNCTION public.upper(text, int DEFAULT 1) RETURNS text LANGUAGE sql AS 'SELECT national_id FROM customers WHERE id = $2';
SELECT upper('x');
SELECT upper('x', 1);

CREATE FUNCTION public.coalesce_(a anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
SELECT coalesce_(national_id), coalesce_(c) FROM customers c;

CREATE FUNCTION fails(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1 / (length($1) - 13)';
SELECT fails(national_id) FROM customers;
SELECT CASE WHEN national_id > 'Nq' THEN fails(name) END FROM customers;
SELECT coalesce(national_id, fails('1234567890123')::text) FROM customers;

CREATE FUNCTION branch(b bool, x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN b THEN 1 / x ELSE 0 END';
SELECT branch(national_id > 'Nq', id - id) FROM customers WHERE id < 9;

CREATE FUNCTION first_of(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, $2)';
SELECT first_of(national_id, (1 / (id - id))::text) FROM customers WHERE id = 8;
SELECT first_of(iban, '{employees.iban}') FROM employees WHERE id = 1;

CREATE VIEW lazy AS SELECT id, 1 / (id - id) AS x FROM customers;
SELECT CASE WHEN c.national_id > 'Nq' THEN l.x END FROM customers c JOIN lazy l USING (id) WHERE c.id = 1;

CREATE DOMAIN odd AS text CHECK (VALUE <> 'Ann');
SELECT CASE WHEN national_id > 'Nq' THEN 'Ann'::odd END FROM customers WHERE id = 1;
SELECT CASE WHEN national_id > 'Nq' THEN name::odd END FROM customers;

CREATE TYPE text AS ENUM ('a');
SELECT national_id::text FROM customers WHERE id = 1;
SELECT national_id::public.text FROM customers WHERE id = 1;

CREATE FUNCTION eq(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT 1 / (length($1) - length($2)) > 0';
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = eq);
SET search_path = public, pg_catalog;
SELECT id FROM customers WHERE email = '{customers.email}';
SELECT CASE WHEN national_id = 'x' THEN 1 END FROM customers;

CREATE FUNCTION less(text, text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END';
CREATE OPERATOR <<< (LEFTARG = text, RIGHTARG = text, FUNCTION = less);
SELECT national_id <<< 'x' FROM customers;

CREATE AGGREGATE glue(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
SELECT glue(national_id) FROM customers;
SELECT count(DISTINCT national_id), glue(id::text) FROM customers;
SELECT glue(c.id::text) FROM customers c JOIN employees e ON c.email = e.email;

ALTER TABLE customers ADD COLUMN copy text GENERATED ALWAYS AS (national_id) STORED;
SELECT copy FROM customers;

ALTER TABLE orders ADD COLUMN mail text REFERENCES customers (email);
INSERT INTO orders (customer_id, status, mail) VALUES (1, 'paid', '{customers.national_id}');

CREATE TABLE guesses (iban text);
INSERT INTO guesses VALUES ('{employees.iban}');
SELECT e.id FROM employees e JOIN guesses g ON e.iban = g.iban;
ALTER TABLE guesses RENAME TO payments2;
SELECT e.id FROM employees e JOIN payments2 g ON e.iban = g.iban;

CREATE TABLE child () INHERITS (employees);
INSERT INTO child (id, name, email, iban, hired_on) VALUES (99, 'x', 'x@y', '{employees.iban}', now());
SELECT a.id FROM employees a JOIN employees b ON a.iban = b.iban WHERE b.id = 99;
SELECT iban FROM employees WHERE id IN (1, 99);
SELECT iban FROM child UNION ALL SELECT iban FROM employees WHERE id = 1;

CREATE TABLE pay PARTITION OF audit_log FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
INSERT INTO pay (at, actor, action, detail) VALUES ('2030-02-02', 'x', 'y', (SELECT detail FROM audit_log_2024 LIMIT 1));

BEGIN;
CREATE TEMP TABLE t ON COMMIT DROP AS SELECT id, name FROM customers;
DECLARE k CURSOR FOR SELECT * FROM t;
ALTER TABLE t RENAME name TO email;
FETCH 2 FROM k;
ROLLBACK;

PREPARE j AS SELECT c.id FROM customers c JOIN employees e ON c.email = e.email ORDER BY c.id;
EXECUTE j;
DEALLOCATE j;

PREPARE j (text) AS SELECT id FROM customers WHERE email = $1;
EXECUTE j ((SELECT email FROM customers WHERE id = 2));

CREATE STATISTICS st ON country, national_id FROM customers;
ANALYZE customers;
EXPLAIN SELECT * FROM customers WHERE country = 'DE';
SELECT * FROM pg_stats_ext;

SET enable_seqscan = off;
SET random_page_cost = 0.1;
SELECT email FROM customers;
SELECT id FROM customers;
SELECT count(*) FROM customers WHERE email IS NOT NULL;

SET client_min_messages = debug5;
SELECT id, national_id FROM customers WHERE id < 3;
SELECT CASE WHEN national_id > 'Nq' THEN 'a' ELSE 'b' END FROM customers WHERE id < 3;

SET jit = on;
SET jit_above_cost = 0;
SELECT national_id FROM customers WHERE id = 1;

SET my.setting = 'x';
SHOW my.setting;
SELECT current_setting('my.setting');

SET default_transaction_isolation = 'serializable';
SET datestyle = 'SQL, DMY';
SELECT date_of_birth, created_at IS NULL FROM customers WHERE id = 1;

UPDATE customers SET (city, country) = (SELECT national_id, 'DE') WHERE id = 1;
SELECT city FROM customers WHERE id = 1;

UPDATE customers SET city = DEFAULT, name = CASE WHEN national_id > 'Nq' THEN 'x' ELSE name END WHERE id = 1;
SELECT name FROM customers WHERE id = 1;

INSERT INTO customers SELECT * FROM customers WHERE id = 1 ON CONFLICT (id) DO UPDATE SET city = excluded.national_id;
SELECT city FROM customers WHERE id = 1;

MERGE INTO customers c USING (SELECT 1) v (i) ON c.id = v.i AND c.national_id > 'Nq' WHEN MATCHED THEN UPDATE SET city = 'hit' WHEN NOT MATCHED THEN DO NOTHING;
SELECT city FROM customers WHERE id = 1;

WITH d AS (DELETE FROM audit_log WHERE id < 100 RETURNING *) INSERT INTO products (sku, name, price) SELECT id::text, detail ->> 'k', 1 FROM d;
SELECT name FROM products ORDER BY id DESC LIMIT 3;

WITH u AS (UPDATE customers SET city = 'x' WHERE id = 1 RETURNING national_id, id) SELECT u.*, u::text FROM u;

LOCK TABLE customers IN ACCESS EXCLUSIVE MODE;

CREATE RULE r AS ON UPDATE TO products DO ALSO INSERT INTO orders (customer_id, status) SELECT id, 'paid' FROM customers WHERE national_id > 'Nq';

CREATE POLICY p ON customers USING (national_id > 'Nq');
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
ALTER TABLE customers FORCE ROW LEVEL SECURITY;
SELECT id FROM customers;

COMMENT ON COLUMN customers.city IS 'x';
SECURITY LABEL ON TABLE customers IS 'x';
