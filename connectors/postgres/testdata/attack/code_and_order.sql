-- An index whose rows are chosen by the hidden value.
CREATE INDEX i ON customers (id) WHERE national_id IS NULL;

-- The index that is there.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT email, ctid FROM customers;

SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT ctid, tableoid FROM customers WHERE email IN ('a@b', 'c@d');

-- Groups by sorting and hashing.
SET enable_hashagg = off;
SELECT id FROM customers WHERE email IN (SELECT email FROM employees);

SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT id FROM customers WHERE email IN (SELECT email FROM employees);

SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT c.id, e.id FROM customers c FULL JOIN employees e USING (email);

SELECT c.id FROM customers c, employees e WHERE c.email = e.email;

SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT c.id FROM employees e JOIN customers c USING (email);

DO $$ BEGIN EXECUTE format('PREPARE p AS SELECT %L::text AS x', (SELECT national_id FROM customers WHERE id = 1)); END $$;
EXECUTE p;
SELECT statement FROM pg_prepared_statements;

DO $$ BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > 'Nt' THEN PERFORM pg_notify('c', 'x'); END IF; END $$;

DO $$ BEGIN DECLARE c CURSOR FOR SELECT 1; BEGIN NULL; END; END $$;

CREATE FUNCTION many() RETURNS SETOF int LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT id FROM customers ORDER BY national_id; END';
SELECT 1 FROM many();

CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT national_id::int FROM customers WHERE id = 1';
SELECT one();

CREATE FUNCTION bit() RETURNS bool LANGUAGE sql AS 'SELECT national_id > ''Nt'' FROM customers WHERE id = 1';
SELECT 1 WHERE bit();
SELECT id FROM products WHERE bit() LIMIT 1;
SELECT CASE WHEN bit() THEN 1 ELSE 2 END;
SELECT id FROM products ORDER BY CASE WHEN bit() THEN id ELSE -id END LIMIT 3;
SELECT id FROM products LIMIT CASE WHEN bit() THEN 1 ELSE 2 END;
SELECT 1 / bit()::int;
UPDATE products SET price = 5 WHERE bit() AND id = 1;
INSERT INTO products (sku, name, price) SELECT 'q', 'x', 1 WHERE bit();

CREATE FUNCTION low(text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 < ''Nq''';
ALTER TABLE customers ADD CHECK (low(national_id));

CREATE FUNCTION code() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT ascii(substr(national_id, 2)) FROM customers WHERE id = 1';
CREATE TABLE t (x int DEFAULT code(), y int);
INSERT INTO t (y) VALUES (1);
SELECT x FROM t;

CREATE FUNCTION code() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT ascii(substr(national_id, 2)) FROM customers WHERE id = 1';
CREATE TABLE t (y int, x int GENERATED ALWAYS AS (code() + y) STORED);
INSERT INTO t (y) VALUES (1);
SELECT x FROM t;

CREATE FUNCTION ok(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT national_id > ''Nt'' FROM customers WHERE id = 1); END';
CREATE TABLE t (y int CHECK (ok(y)));
INSERT INTO t (y) VALUES (1);

CREATE FUNCTION ok(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT national_id > ''Nt'' FROM customers WHERE id = 1); END';
ALTER TABLE products ADD CHECK (ok(id));

CREATE FUNCTION ok(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT national_id > ''Nt'' FROM customers WHERE id = 1); END';
CREATE DOMAIN d AS int CHECK (ok(VALUE));
SELECT 1::d;

CREATE RULE r AS ON INSERT TO products WHERE customer_email(1) > 'zt' DO INSTEAD NOTHING;
INSERT INTO products (sku, name, price) VALUES ('q', 'x', 1);

CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''x''; END';
CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION ev();

-- What is in the shop already, as an oracle.
SELECT 1 WHERE customer_email(1) > 'zt';

SELECT CASE WHEN last_card(1) > '5' THEN 1 ELSE 2 END;

SELECT count(*) FROM customer_email(1) e WHERE e > 'zt';

-- Policies.
CREATE FUNCTION ok(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT national_id > ''Nt'' FROM customers WHERE id = 1); END';
CREATE POLICY p ON products USING (ok(id));
ALTER TABLE products ENABLE ROW LEVEL SECURITY;
ALTER TABLE products FORCE ROW LEVEL SECURITY;
SELECT count(*) FROM products;

-- Operators and collations.
CREATE FUNCTION lt(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > $2';
CREATE OPERATOR <<< (LEFTARG = text, RIGHTARG = text, FUNCTION = lt);
SELECT id FROM customers WHERE national_id <<< 'Nq';

-- Defaults that read: the row that is inserted shows them.
CREATE FUNCTION who() RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = 1';
ALTER TABLE products ALTER name SET DEFAULT who();
INSERT INTO products (sku, price) VALUES ('q', 1) RETURNING name;
SELECT name FROM products WHERE sku = 'q';

-- Statistics of a clean expression over hidden ones, and index expressions.
CREATE INDEX i ON customers ((national_id > 'Nt'));
ANALYZE customers;
SELECT reltuples FROM pg_class WHERE relname = 'i';

CREATE INDEX i ON customers (id) WHERE national_id > 'Nt';
SELECT pg_relation_size('i'), reltuples FROM pg_class WHERE relname = 'i';

-- A function of the name that the catalog view uses.
CREATE FUNCTION pg_temp.row_to_json(record) RETURNS text LANGUAGE sql AS 'SELECT national_id FROM public.customers WHERE id = 1';
SELECT pg_temp.row_to_json(ROW(1));

-- Types of columns.
ALTER TABLE products ADD COLUMN c customers;
UPDATE products p SET c = c2 FROM customers c2 WHERE c2.id = p.id;
SELECT c FROM products LIMIT 1;

CREATE TABLE t OF wrapped;

CREATE TYPE pair AS (a text, b text);
CREATE TABLE t (x pair);
INSERT INTO t SELECT ROW(national_id, email)::pair FROM customers;
SELECT (x).a FROM t LIMIT 2;

-- Counters.
CREATE INDEX i ON customers (national_id);
SELECT count(*) FROM customers WHERE email = 'x@y';
SELECT idx_scan IS NULL FROM pg_stat_user_indexes LIMIT 1;

-- Locking picks rows.
SELECT id FROM customers ORDER BY id FOR UPDATE SKIP LOCKED;

-- Whole table statements.
TRUNCATE payments;
SELECT last_card(1);

ALTER TABLE customers DROP COLUMN city;
SELECT national_id || '' FROM customers LIMIT 1;

ALTER TABLE customers ADD COLUMN first text;
SELECT national_id || '' , first FROM customers LIMIT 1;

DROP VIEW customer_overview;
ALTER TABLE customers DROP COLUMN email;
ALTER TABLE customers ADD COLUMN email text DEFAULT 'x';
SELECT email, national_id FROM customers LIMIT 1;

DROP TABLE employees CASCADE;
CREATE TABLE employees (salary text);
SELECT salary FROM employees;

-- The label follows a column, not the place.
ALTER TABLE customers ADD COLUMN z text;
UPDATE customers SET z = 'q';
ALTER TABLE customers DROP COLUMN notes;
SELECT z FROM customers LIMIT 1;
SELECT * FROM customers LIMIT 1;

-- XML functions that run text.
SELECT query_to_xml('SELECT pg_notify(''c'', national_id) FROM customers', true, false, '');

SELECT ts_stat('SELECT to_tsvector(national_id) FROM customers');

SELECT * FROM ts_stat('SELECT to_tsvector(national_id) FROM customers') LIMIT 2;

SELECT word FROM ts_stat('SELECT to_tsvector(''simple'', national_id) FROM customers') LIMIT 2;

-- Guess a value: a unique index on a hidden column that no lookup allows says whether it is taken.
INSERT INTO employees (name, email, salary, iban, hired_on) VALUES ('me', upper('{employees.email}'), 1, 'x', now());

INSERT INTO employees (name, email, salary, iban, hired_on) VALUES ('me', '{employees.email}', 1, 'x', now()) ON CONFLICT DO NOTHING;

UPDATE employees SET email = '{employees.email}' WHERE id = 12;

-- An exclusion constraint compares as a unique index does.
ALTER TABLE customers ADD CONSTRAINT x EXCLUDE USING btree (national_id WITH =);
UPDATE customers SET national_id = '{customers.national_id}' WHERE id = 30;

-- A function may raise an integrity violation whose constraint and table are hidden values.
CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'DECLARE v text := (SELECT national_id FROM customers WHERE id = 1); BEGIN RAISE EXCEPTION SQLSTATE ''23505'' USING MESSAGE = v, CONSTRAINT = v, TABLE = v, SCHEMA = v; END';
SELECT boom();

-- The value becomes the session's application_name, which a statistics view shows.
DO LANGUAGE plpgsql 'BEGIN PERFORM set_config(''application_name'', (SELECT national_id FROM customers WHERE id = 1), false); END';
SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid();
SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'N%' AND pid = pg_backend_pid();

-- An index on the hidden column gives the rows in its order.
CREATE INDEX i ON customers (national_id) INCLUDE (id);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT id FROM customers;

CREATE INDEX i ON customers (national_id) INCLUDE (id, name);
VACUUM customers;
SET enable_seqscan = off;
SELECT id, name FROM customers;
SELECT id, name FROM customers LIMIT 1;

CREATE INDEX i ON customers (national_id, id);
SET enable_seqscan = off;
SELECT array_agg(id) FROM customers;

-- Rows are put in the order of the hidden value.
CLUSTER customers USING customers_email_key;
SELECT id FROM customers;

CREATE INDEX i ON customers (national_id);
CLUSTER customers USING i;
SELECT id FROM customers;

CREATE INDEX i ON employees (salary);
ALTER TABLE employees CLUSTER ON i;
CLUSTER employees;
SELECT name FROM employees;

-- Code in DO puts values where no label is.
DO $$ BEGIN UPDATE customers SET notes = national_id; END $$;
SELECT notes FROM customers LIMIT 3;

DO $$ BEGIN CREATE TEMP TABLE t AS SELECT national_id AS x FROM customers; END $$;
SELECT x FROM t LIMIT 3;

DO $$ BEGIN EXECUTE format('CREATE TABLE %I ()', (SELECT national_id FROM customers WHERE id = 1)); END $$;
SELECT relname FROM pg_class WHERE relname LIKE 'N%';

DO $$ BEGIN EXECUTE format('COMMENT ON TABLE products IS %L', (SELECT national_id FROM customers WHERE id = 1)); END $$;
SELECT obj_description('products'::regclass);

DO $$ BEGIN EXECUTE format('CREATE TYPE e AS ENUM (%L)', (SELECT national_id FROM customers WHERE id = 1)); END $$;
SELECT enumlabel FROM pg_enum WHERE enumtypid = 'e'::regtype;
SELECT enum_first(NULL::e);

DO $$ BEGIN EXECUTE format('CREATE VIEW v AS SELECT %L::text AS x', (SELECT national_id FROM customers WHERE id = 1)); END $$;
SELECT x FROM v;
SELECT definition FROM pg_views WHERE viewname = 'v';

DO $$ BEGIN EXECUTE format('CREATE VIEW v AS SELECT 1 AS %I', (SELECT national_id FROM customers WHERE id = 1)); END $$;
SELECT * FROM v;

DO $$ BEGIN EXECUTE format('ALTER SEQUENCE products_id_seq RESTART %s', (SELECT salary::bigint FROM employees WHERE id = 1)); END $$;
INSERT INTO products (sku, name, price) VALUES ('q', 'x', 1) RETURNING id;

DO $$ BEGIN PERFORM set_config('application_name', (SELECT national_id FROM customers WHERE id = 1), false); END $$;
SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid();

DO $$ BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > 'Nt' THEN PERFORM set_config('timezone', 'Asia/Tokyo', false); END IF; END $$;
SHOW timezone;

DO $$ BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > 'Nt' THEN PERFORM set_config('work_mem', '8MB', false); END IF; END $$;
SELECT current_setting('work_mem');

DO $$ BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > 'Nt' THEN RAISE EXCEPTION 'x'; END IF; END $$;

DO $$ BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > 'Nt' THEN RAISE NOTICE 'x'; END IF; END $$;

DO $$ BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > 'Nt' THEN PERFORM 1 / 0; END IF; END $$;

DO $$ BEGIN FOR i IN 1 .. (SELECT ascii(substr(national_id, 2)) FROM customers WHERE id = 1) LOOP RAISE NOTICE 'x'; END LOOP; END $$;

-- Functions do the same.
CREATE FUNCTION spill() RETURNS int LANGUAGE sql AS 'UPDATE customers SET notes = national_id; SELECT 1';
SELECT spill();
SELECT notes FROM customers LIMIT 2;

CREATE PROCEDURE spill() LANGUAGE sql AS 'UPDATE customers SET notes = national_id';
CALL spill();
SELECT notes FROM customers LIMIT 2;

CREATE FUNCTION spill() RETURNS int LANGUAGE plpgsql AS 'BEGIN CREATE TABLE t AS SELECT national_id x FROM customers; RETURN 1; END';
SELECT spill();
SELECT x FROM t LIMIT 2;

CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql AS 'BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > ''Nt'' THEN RAISE EXCEPTION ''x''; END IF; RETURN 1; END';
SELECT one();

CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql AS 'BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > ''Nt'' THEN RAISE NOTICE ''x''; END IF; RETURN 1; END';
SELECT one();

CREATE FUNCTION many() RETURNS SETOF int LANGUAGE sql AS 'SELECT 1 FROM customers WHERE national_id > ''Nt''';
SELECT many();
SELECT 1 FROM many();
SELECT count(*) FROM many();

-- Triggers and rules run code at somebody's clean statement.
CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := (SELECT national_id FROM customers WHERE id = 1); RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON products FOR EACH ROW EXECUTE FUNCTION tr();
INSERT INTO products (sku, name, price) VALUES ('q', 'x', 1) RETURNING name;
UPDATE products SET price = 3 WHERE id = 1 RETURNING name;
SELECT name FROM products WHERE id = 1;

CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.notes := NEW.national_id; RETURN NEW; END';
CREATE TRIGGER t BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tr();
UPDATE customers SET city = city WHERE id = 1 RETURNING notes;
SELECT notes FROM customers WHERE id = 1;

CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF (SELECT national_id FROM customers WHERE id = 1) > ''Nt'' THEN RETURN NULL; END IF; RETURN NEW; END';
CREATE TRIGGER t BEFORE UPDATE ON products FOR EACH ROW EXECUTE FUNCTION tr();
UPDATE products SET price = 3 WHERE id = 1;

