SELECT 1
SELECT
SELECT * FROM customers
TABLE products
VALUES (1, 'a'), (2, 'b')
SELECT name, city FROM public.customers
SELECT c.name AS who FROM customers c WHERE c.id = 7
SELECT c.* FROM customers AS c (a, b, c) LIMIT 1
SELECT email FROM customers WHERE email = 'a@example.com'
SELECT id FROM customers WHERE email IN ('a@example.com', 'b@example.com') AND city = 'Berlin'
SELECT id FROM customers WHERE email = 'a@example.com' OR city = 'Berlin'
SELECT id FROM customers WHERE email LIKE 'a%'
SELECT id FROM customers WHERE lower(email) = 'a@example.com'
SELECT id FROM customers WHERE NOT email = 'a@example.com'
SELECT id FROM customers ORDER BY email
SELECT email FROM customers ORDER BY 1
SELECT id AS email FROM customers ORDER BY email
SELECT city, count(*) FROM customers GROUP BY city HAVING count(*) > 3
SELECT count(email), count(*) FROM customers
SELECT DISTINCT phone FROM customers
SELECT DISTINCT ON (phone) id FROM customers
SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id
SELECT p.id FROM payments p JOIN employees e ON p.iban = e.iban
SELECT p.id FROM payments p JOIN employees e USING (iban)
SELECT * FROM orders NATURAL JOIN order_items LIMIT 1
SELECT j.* FROM (orders o JOIN customers c ON c.id = o.customer_id) AS j
SELECT c.id FROM customers c JOIN (VALUES ('a@example.com'), ('b@example.com')) v (e) ON c.email = v.e
SELECT c.id FROM customers c, generate_series(1, 3) g WHERE c.date_of_birth = g::text::date
SELECT x.contact FROM (SELECT email AS contact FROM customers) x
SELECT (SELECT email FROM customers WHERE id = 1)
SELECT id, (SELECT c.email FROM customers c WHERE c.id = o.customer_id) FROM orders o
SELECT EXISTS (SELECT 1 FROM customers WHERE email LIKE 'a%')
SELECT ARRAY(SELECT email FROM customers)
SELECT id FROM customers WHERE email IN (SELECT email FROM employees)
WITH c AS (SELECT email FROM customers) SELECT * FROM c
WITH customers AS (SELECT 1 AS email) SELECT email FROM customers
WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a
WITH RECURSIVE t (n, e) AS (SELECT 1, '' UNION ALL SELECT n + 1, c.email FROM t JOIN customers c ON c.id = t.n WHERE n < 5) SELECT * FROM t
WITH RECURSIVE boss AS (SELECT id, manager_id, name FROM employees WHERE id = 9 UNION SELECT e.id, e.manager_id, e.name FROM employees e JOIN boss b ON e.id = b.manager_id) SELECT name FROM boss
WITH d AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT count(*) FROM d
WITH i AS (INSERT INTO products (sku, name, price) VALUES ('x', 'y', 1) RETURNING id) SELECT id FROM i
WITH u AS (UPDATE customers SET city = 'x' RETURNING email) SELECT * FROM u
SELECT name FROM customers UNION ALL SELECT email FROM employees
SELECT name FROM customers UNION SELECT email FROM employees
SELECT name FROM customers EXCEPT ALL SELECT card_holder FROM payments
SELECT contact, spent FROM customer_overview
SELECT * FROM daily_revenue
SELECT c FROM customers c
SELECT row_to_json(c) FROM customers c
SELECT to_jsonb(p.*) FROM products p
SELECT (c).email FROM customers c
SELECT email(c) FROM customers c
SELECT c.text FROM customers c
SELECT ROW(c.*, 1) FROM customers c
SELECT upper(email) || phone, length(name) FROM customers
SELECT email::text, email::varchar(3), salary::int FROM employees
SELECT CASE WHEN salary > 5000 THEN 'rich' ELSE name END FROM employees
SELECT coalesce(phone, email) FROM customers
SELECT greatest(phone, email), nullif(phone, 'x') FROM customers
SELECT max(email), min(salary), string_agg(name, ',' ORDER BY salary) FROM employees
SELECT name, rank() OVER (ORDER BY salary) FROM employees
SELECT sum(total) FILTER (WHERE status = 'paid') FROM orders
SELECT salary * 12 FROM employees
SELECT 1 / (salary - 5000) FROM employees
SELECT generate_series(1, length(phone)) FROM customers
SELECT unnest(tags) FROM products
SELECT t FROM products, unnest(tags) t
SELECT k, v FROM products, LATERAL jsonb_each_text(attributes) AS j (k, v)
SELECT x.* FROM customers c, LATERAL (SELECT c.email) x
SELECT ctid, tableoid, xmin FROM customers
SELECT detail FROM audit_log_2024
SELECT action FROM audit_log
SELECT line_total FROM order_items
SELECT * FROM customers TABLESAMPLE bernoulli (1)
SELECT * FROM json_to_recordset('[{"a":1}]') AS x (a int)
SELECT * FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3)) AS z (a, b)
SELECT * FROM generate_series(1, 10)
SELECT * FROM XMLTABLE('/a' PASSING ('<a/>'::xml) COLUMNS x text PATH 'b')
SELECT id FROM customers FOR UPDATE
SELECT id FROM orders FOR SHARE OF orders
SELECT id INTO scratch FROM customers
SELECT name FROM customers LIMIT (SELECT length(email) FROM customers WHERE id = 1)
SELECT relname FROM pg_class
SELECT * FROM information_schema.columns
SELECT most_common_vals FROM pg_stats
SELECT pid, state FROM pg_stat_activity
SELECT query FROM pg_stat_activity
SELECT rolpassword FROM pg_authid
SELECT seq_scan FROM pg_stat_user_tables
SELECT version(), now(), current_user, current_database()
SELECT random(), gen_random_uuid()
SELECT current_setting('search_path'), current_setting('shop.secret')
SELECT set_config('work_mem', '1MB', false)
SELECT set_config('search_path', 'evil', false)
SELECT nextval('customers_id_seq')
SELECT pg_sleep(1)
SELECT pg_advisory_lock(1)
SELECT pg_notify('a', 'b')
SELECT pg_read_file('/etc/passwd')
SELECT lo_get(1), lo_import('/etc/passwd')
SELECT query_to_xml('DELETE FROM customers', true, false, '')
SELECT table_to_xml('customers', true, false, '')
SELECT pg_terminate_backend(1)
SELECT last_card(1)
SELECT customer_email(id) FROM customers
SELECT nosuchfunction(email) FROM customers
SELECT public.nosuch(1)
SELECT * FROM nosuchtable
SELECT nosuchcolumn FROM customers
SELECT 'x'::email_address, 'paid'::order_status
SELECT email OPERATOR(pg_catalog.=) 'x' FROM customers
EXPLAIN SELECT email FROM customers
EXPLAIN DELETE FROM customers
EXPLAIN ANALYZE DELETE FROM customers
EXPLAIN (ANALYZE false) DELETE FROM customers
EXPLAIN (ANALYZE, VERBOSE) SELECT last_card(1)
EXPLAIN SELECT id FROM customers WHERE email < 'b'
INSERT INTO orders (customer_id, total) VALUES (1, 2)
INSERT INTO orders (customer_id, total) VALUES (1, 2) RETURNING id, total
INSERT INTO products (sku, name, price) SELECT email, name, 1 FROM customers
INSERT INTO products (id, sku, name, price) VALUES (1, 'a', 'b', 1) ON CONFLICT (id) DO UPDATE SET name = excluded.name
INSERT INTO customers DEFAULT VALUES
INSERT INTO customer_overview (id) VALUES (1)
UPDATE customers SET city = 'Bonn' WHERE id = 7
UPDATE customers SET city = 'Bonn'
UPDATE customers SET city = 'Bonn' WHERE true
UPDATE customers SET city = 'Bonn' WHERE 1 = 1
UPDATE customers SET city = 'Bonn' WHERE id = id
UPDATE customers SET city = 'Bonn' WHERE id IS NOT NULL
UPDATE customers SET city = 'Bonn' WHERE phone IS NULL OR phone IS NOT NULL
UPDATE customers SET city = 'Bonn' WHERE NOT false
UPDATE customers SET city = 'Bonn' WHERE name LIKE '%'
UPDATE customers SET city = 'Bonn' WHERE (SELECT true)
UPDATE customers SET city = 'Bonn' WHERE now() > '2000-01-01'
UPDATE customers SET city = 'Bonn' WHERE id = 1 OR true
UPDATE customers SET city = 'Bonn' WHERE id = 1 OR id <> 1
UPDATE customers SET city = 'Bonn' WHERE id IN (SELECT id FROM customers)
UPDATE customers SET city = 'Bonn' WHERE EXISTS (SELECT 1)
UPDATE customers SET city = 'Bonn' WHERE ctid IS NOT NULL
UPDATE customers SET city = 'Bonn' WHERE false
UPDATE customers SET city = 'Bonn' WHERE phone IS NOT NULL
UPDATE customers SET city = 'Bonn' WHERE CURRENT OF cur
UPDATE customers SET city = email WHERE id = 7
UPDATE customers SET (city, notes) = (SELECT name, email FROM employees WHERE id = 1) WHERE id = 7
UPDATE customers c SET city = e.name FROM employees e WHERE e.id = c.id AND c.id < 10 RETURNING c.email, e.salary
UPDATE ONLY audit_log_2024 SET actor = 'x' WHERE id = 1
DELETE FROM payments
DELETE FROM payments WHERE id = 1 RETURNING *
DELETE FROM payments USING orders WHERE payments.order_id = orders.id AND orders.id = 3
DELETE FROM payments WHERE amount >= 0 OR amount < 0
MERGE INTO products p USING orders o ON p.id = o.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (sku, name, price) VALUES ('a', 'b', o.total)
MERGE INTO products p USING (SELECT 1) o ON true WHEN MATCHED THEN UPDATE SET name = 'x'
TRUNCATE payments, orders CASCADE
CREATE TABLE notes (id int PRIMARY KEY, body text DEFAULT lower('X') CHECK (length(body) < 100))
CREATE TEMP TABLE copy AS SELECT id, email FROM customers
CREATE TABLE like_it (LIKE customers INCLUDING ALL)
CREATE VIEW emails AS SELECT email FROM customers
CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM orders
CREATE INDEX ON customers (lower(email))
CREATE INDEX ON customers (city) WHERE country = 'DE'
CREATE UNIQUE INDEX CONCURRENTLY x ON customers (name)
CREATE SEQUENCE s
CREATE SCHEMA extra CREATE TABLE t (a int)
CREATE TYPE mood AS ENUM ('sad', 'ok')
CREATE TYPE pair AS (a int, b int)
CREATE DOMAIN small AS int CHECK (VALUE < 10)
CREATE DATABASE other
CREATE STATISTICS st ON city, country FROM customers
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE FUNCTION g(a int) RETURNS int BEGIN ATOMIC SELECT id FROM customers; SELECT 2; END
CREATE PROCEDURE p() LANGUAGE sql AS 'DELETE FROM customers'
CREATE TRIGGER tr BEFORE UPDATE ON customers FOR EACH ROW WHEN (old.email <> new.email) EXECUTE FUNCTION f()
CREATE RULE r AS ON INSERT TO orders DO ALSO DELETE FROM customers
CREATE AGGREGATE agg (int) (SFUNC = int4pl, STYPE = int)
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)
CREATE CAST (text AS int) WITH FUNCTION f(text)
CREATE EXTENSION dblink
CREATE LANGUAGE plperlu
CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (password 'hunter2')
CREATE USER MAPPING FOR CURRENT_USER SERVER away OPTIONS (user 'bob', password 'hunter2')
CREATE FOREIGN TABLE ft (a int) SERVER away
CREATE PUBLICATION pub FOR TABLE customers
CREATE SUBSCRIPTION sub CONNECTION 'host=x password=hunter2' PUBLICATION pub
CREATE POLICY po ON customers USING (city = 'Bonn')
CREATE ROLE bob LOGIN PASSWORD 'hunter2'
ALTER ROLE bob PASSWORD $$hunter2$$
ALTER USER bob WITH ENCRYPTED PASSWORD E'hunter\062'
ALTER ROLE bob SET search_path = 'x'
DROP ROLE bob
ALTER TABLE customers ADD COLUMN x text
ALTER TABLE customers ALTER COLUMN city TYPE text USING email
ALTER TABLE customers RENAME COLUMN email TO city2
ALTER TABLE customers RENAME TO people
ALTER TABLE customers OWNER TO bob
ALTER TABLE customers DISABLE TRIGGER ALL
ALTER TABLE customers ENABLE ROW LEVEL SECURITY
ALTER TABLE customers DROP COLUMN phone
ALTER TABLE customers ADD CHECK (email LIKE '%@%')
ALTER TABLE audit_log ATTACH PARTITION p2 FOR VALUES IN (1)
ALTER TYPE order_status ADD VALUE 'lost'
ALTER SEQUENCE customers_id_seq RESTART
ALTER SYSTEM SET shared_buffers = '1GB'
ALTER DATABASE shop SET search_path = 'x'
ALTER FUNCTION last_card(int) SECURITY INVOKER
ALTER VIEW customer_overview RENAME TO co
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bob
DROP TABLE customers
DROP TABLE IF EXISTS audit_log_2024, nosuch
DROP VIEW customer_overview
DROP SCHEMA public CASCADE
DROP FUNCTION last_card(int)
DROP EXTENSION dblink
DROP INDEX customers_email_key
DROP DATABASE shop
DROP OWNED BY bob
REASSIGN OWNED BY bob TO alice
COMMENT ON TABLE customers IS 'x'
COMMENT ON COLUMN customers.email IS 'x'
SECURITY LABEL ON TABLE customers IS 'x'
GRANT SELECT ON customers TO bob
GRANT SELECT (email) ON customers TO bob
GRANT admin TO bob
REVOKE ALL ON SCHEMA public FROM PUBLIC
GRANT SELECT ON ALL TABLES IN SCHEMA public TO bob
VACUUM
VACUUM ANALYZE customers
ANALYZE customers
REINDEX TABLE customers
CLUSTER customers USING customers_pkey
REFRESH MATERIALIZED VIEW daily_revenue
CHECKPOINT
BEGIN
START TRANSACTION ISOLATION LEVEL SERIALIZABLE
COMMIT
ROLLBACK
SAVEPOINT a
RELEASE a
ROLLBACK TO a
PREPARE TRANSACTION 'x'
COMMIT PREPARED 'x'
SET CONSTRAINTS ALL DEFERRED
SET statement_timeout = '1s'
SET LOCAL work_mem = '1MB'
SET TIME ZONE 'UTC'
SET search_path = evil
SET ROLE postgres
SET SESSION AUTHORIZATION postgres
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET TRANSACTION READ WRITE
SET session_replication_role = replica
SET row_security = off
SET application_name = 'x'
SET shop.x = 'y'
SET standard_conforming_strings = off
SET client_encoding = 'SJIS'
SET NAMES 'SJIS'
RESET ALL
RESET work_mem
RESET ROLE
SHOW work_mem
SHOW ALL
SHOW shop.x
DISCARD ALL
LOCK TABLE customers
LISTEN a
NOTIFY a, 'b'
UNLISTEN *
LOAD 'evil'
DO $$ BEGIN DELETE FROM customers; END $$
CALL cleanup(1)
CALL audit.cleanup((SELECT email FROM customers LIMIT 1))
COPY customers TO STDOUT
COPY customers (name) TO STDOUT (FORMAT csv)
COPY (SELECT email FROM customers) TO STDOUT
COPY customers FROM STDIN
COPY customers TO '/tmp/x'
COPY customers FROM PROGRAM 'id'
PREPARE q AS SELECT email FROM customers WHERE id = $1
PREPARE d (int) AS DELETE FROM customers
EXECUTE nosuch
DEALLOCATE q
DECLARE c CURSOR FOR SELECT email FROM customers
FETCH 5 FROM nosuch
MOVE c
CLOSE c
SELECT 1; SELECT 2
SELECT 1;
SELECT FROM WHERE
SELECT 'open
-- nothing
/* nothing */ ;
SELECT 1 -- a comment; DROP TABLE customers
SELECT/**/email/**/FROM/**/customers
SELECT 'a''; DROP TABLE customers; --'
SELECT E'\'; DROP TABLE customers; --'
SELECT $x$; DROP TABLE customers; $x$
SELECT U&"\0065mail" FROM customers
SELECT "email" FROM "public"."customers"
SELECT * FROM pg_catalog.pg_tables WHERE schemaname = 'public'
SELECT JSON_OBJECT('a': email) FROM customers
SELECT xmlelement(name a, email) FROM customers
SELECT extract(year FROM date_of_birth), date_of_birth + 1 FROM customers
SELECT substring(email from 1 for 2), trim(phone), position('@' in email) FROM customers
SELECT (ARRAY[email, phone])[1] FROM customers
SELECT grouping(city), city FROM customers GROUP BY ROLLUP (city, country)
SELECT sum(price) OVER w FROM products WINDOW w AS (PARTITION BY sku ORDER BY id)
SELECT currval('customers_id_seq'), lastval()
SELECT has_table_privilege('customers', 'select')

SELECT count(DISTINCT email), array_agg(id) FROM customers

SELECT array_agg(id ORDER BY salary), string_agg(name, ',') FROM employees

SELECT count(DISTINCT email), count(*), array_agg(DISTINCT email) FROM customers

SELECT iban FROM employees UNION ALL SELECT 'DE99'

EXPLAIN (ANALYZE, SERIALIZE) SELECT email FROM customers

EXPLAIN (ANALYZE) SELECT email FROM customers ORDER BY id

EXPLAIN (ANALYZE) SELECT name FROM customers ORDER BY id

SELECT split_part(name, 'x', length(email)), date_trunc(email, now()) FROM customers
# What was written is what RETURNING shows.
INSERT INTO products (sku, name) SELECT email, name FROM customers RETURNING sku, name, id
UPDATE products p SET name = c.email FROM customers c WHERE c.id = p.id RETURNING p.name, p.sku
MERGE INTO products p USING customers c ON c.id = p.id WHEN MATCHED THEN UPDATE SET name = c.email WHEN NOT MATCHED THEN INSERT (sku) VALUES (c.phone) RETURNING p.name, p.sku, p.id
