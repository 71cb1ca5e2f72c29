-- A copy of the table, read under names that no label knows.
CREATE TABLE stolen AS SELECT * FROM customers;
SELECT * FROM stolen LIMIT 3;
SELECT national_id || '' FROM stolen LIMIT 3;

-- The columns renamed on the way.
CREATE TABLE stolen (a, b) AS SELECT national_id, email FROM customers;
SELECT a, b FROM stolen LIMIT 3;

CREATE TEMP TABLE stolen AS TABLE customers;
SELECT national_id FROM stolen LIMIT 3;
SELECT x.n FROM stolen x (i, m, e, p, n) LIMIT 3;

CREATE UNLOGGED TABLE IF NOT EXISTS stolen AS SELECT id, row_to_json(c) AS j FROM customers c;
SELECT j FROM stolen LIMIT 3;

CREATE TABLE stolen AS SELECT c FROM customers c;
SELECT c FROM stolen LIMIT 2;
SELECT (c).national_id FROM stolen LIMIT 2;

CREATE TABLE stolen AS VALUES ((SELECT national_id FROM customers WHERE id = 1));
TABLE stolen;

CREATE TABLE stolen AS WITH a AS (SELECT national_id x FROM customers) SELECT x FROM a WITH DATA;
TABLE stolen;

CREATE TABLE stolen AS SELECT id, national_id > 'Nq' AS bit FROM customers;
TABLE stolen;

CREATE TABLE stolen AS SELECT id FROM customers ORDER BY national_id;
TABLE stolen;

CREATE TABLE stolen AS SELECT * FROM customer_overview;
SELECT contact FROM stolen LIMIT 3;

CREATE TABLE stolen AS SELECT customer_email(id) AS x FROM customers;
TABLE stolen;

CREATE TABLE stolen AS SELECT last_card(1) AS x;
TABLE stolen;

-- WITH NO DATA, filled in another way.
CREATE TABLE stolen AS SELECT national_id AS x FROM customers WITH NO DATA;
INSERT INTO stolen SELECT national_id FROM customers;
TABLE stolen;

SELECT national_id AS x INTO stolen FROM customers;
TABLE stolen;

SELECT * INTO TEMP stolen FROM employees;
SELECT salary FROM stolen;

SELECT name, salary INTO UNLOGGED stolen FROM employees;
SELECT salary FROM stolen;

-- An empty table of the same shape, and the rows poured in.
CREATE TABLE stolen (LIKE customers INCLUDING ALL);
INSERT INTO stolen SELECT * FROM customers;
SELECT national_id FROM stolen LIMIT 3;

CREATE TABLE stolen (x text);
INSERT INTO stolen SELECT national_id FROM customers;
TABLE stolen;

CREATE TEMP TABLE stolen (x text);
INSERT INTO stolen (x) VALUES ((SELECT national_id FROM customers WHERE id = 1));
SELECT x FROM stolen;

CREATE TEMP TABLE stolen (x jsonb);
INSERT INTO stolen SELECT to_jsonb(c) FROM customers c;
SELECT x ->> 'national_id' FROM stolen;

CREATE TEMP TABLE stolen (x int);
INSERT INTO stolen SELECT g FROM customers, generate_series(1, ascii(substr(national_id, 2))) g WHERE id = 1;
SELECT count(*) FROM stolen;

-- A column that nobody labelled takes the value.
UPDATE customers SET notes = national_id;
SELECT notes FROM customers LIMIT 3;

UPDATE customers SET city = email WHERE id <= 5;
SELECT city FROM customers WHERE id <= 5;

UPDATE customers SET notes = NULL WHERE national_id > 'Nq';
SELECT id FROM customers WHERE notes IS NULL;

UPDATE products p SET name = c.national_id FROM customers c WHERE c.id = p.id;
SELECT name FROM products LIMIT 3;

UPDATE orders o SET total = (SELECT salary FROM employees e WHERE e.id = o.customer_id) WHERE customer_id <= 5;
SELECT total FROM orders WHERE customer_id <= 5;

INSERT INTO audit_log (actor, action, customer_id) SELECT national_id, 'x', id FROM customers WHERE national_id IS NOT NULL;
SELECT actor FROM audit_log WHERE action = 'x';

INSERT INTO products (sku, name, price) SELECT coalesce(national_id, id::text), 'x', 1 FROM customers;
SELECT sku FROM products WHERE name = 'x';

-- The other way: a known value into the hidden column, to compare with.
UPDATE customers SET national_id = 'Nq' WHERE id = 40;
SELECT id FROM customers ORDER BY national_id;

INSERT INTO customers (id, name, email, national_id, city, country) VALUES (900001, 'me', 'me@example.com', 'Nq', 'x', 'DE');
SELECT c.id FROM customers c JOIN customers d ON d.id = 900001 WHERE c.national_id < d.national_id;

-- Guess a value: a unique index on the hidden column says whether it is taken.
CREATE UNIQUE INDEX ON customers (national_id);
INSERT INTO customers (name, email, national_id, city, country) VALUES ('me', 'me@example.com', '{customers.national_id}', 'x', 'DE');

CREATE UNIQUE INDEX ON customers (lower(national_id));
INSERT INTO customers (name, email, national_id, city, country) VALUES ('me', 'me@example.com', '{customers.national_id}', 'x', 'DE');

CREATE UNIQUE INDEX ON customers (id) WHERE national_id = '{customers.national_id}';

ALTER TABLE employees ADD UNIQUE (email);
CREATE TABLE guess (e email_address REFERENCES employees (email));
INSERT INTO guess VALUES ('{employees.email}');

CREATE TABLE guess (e text);
INSERT INTO guess VALUES ('{customers.phone}');
ALTER TABLE guess ADD FOREIGN KEY (e) REFERENCES customers (phone);

ALTER TABLE customers ADD UNIQUE (national_id);
UPDATE customers SET national_id = '{customers.national_id}' WHERE id = 30;

CREATE TABLE guess (n text PRIMARY KEY);
INSERT INTO guess VALUES ('{customers.national_id}');
ALTER TABLE customers ADD FOREIGN KEY (national_id) REFERENCES guess;

-- Constraints on the hidden column: whether they hold is a bit for each.
ALTER TABLE customers ALTER national_id SET NOT NULL;

ALTER TABLE customers ALTER date_of_birth SET NOT NULL;

ALTER TABLE customers ADD CHECK (national_id < 'Nx');

ALTER TABLE customers ADD CHECK (id <> 1 OR national_id < 'Nq');

ALTER TABLE customers ADD CHECK (national_id < 'Nq') NOT VALID;
ALTER TABLE customers VALIDATE CONSTRAINT customers_national_id_check;

ALTER TABLE customers ADD CHECK (national_id < 'Nq') NOT VALID;
UPDATE customers SET city = city WHERE id = 1;

ALTER TABLE employees ADD CHECK (salary < 500000);

ALTER DOMAIN email_address ADD CHECK (VALUE < 'zq');

ALTER TABLE customers ALTER national_id TYPE varchar(5);

ALTER TABLE customers ALTER national_id TYPE int USING national_id::int;

ALTER TABLE employees ALTER salary TYPE smallint;

ALTER TABLE employees ALTER salary TYPE int USING CASE WHEN salary > 500000 THEN 1 / 0 ELSE 0 END;

-- A type that gives the value another face.
ALTER TABLE customers ALTER city TYPE text USING national_id;
SELECT city FROM customers LIMIT 3;

ALTER TABLE customers ADD COLUMN copy text GENERATED ALWAYS AS (national_id || '') STORED;
SELECT copy FROM customers LIMIT 3;

ALTER TABLE customers ADD COLUMN copy text DEFAULT 'x';
ALTER TABLE customers ALTER copy TYPE text USING email;
SELECT copy FROM customers LIMIT 3;

CREATE TABLE g (LIKE customers, up text GENERATED ALWAYS AS (upper(national_id)) STORED);
INSERT INTO g SELECT * FROM customers;
SELECT up FROM g;

-- Renamed, moved, swapped.
ALTER TABLE customers RENAME TO clients;
SELECT national_id FROM clients LIMIT 3;
SELECT upper(national_id) FROM clients LIMIT 3;

ALTER TABLE customers RENAME national_id TO city2;
SELECT city2 FROM customers LIMIT 3;

ALTER TABLE customers RENAME city TO x;
ALTER TABLE customers RENAME national_id TO city;
SELECT city, city || '' FROM customers LIMIT 3;

CREATE SCHEMA elsewhere;
ALTER TABLE customers SET SCHEMA elsewhere;
SELECT national_id || '' FROM elsewhere.customers LIMIT 3;

ALTER SCHEMA public RENAME TO private;
SELECT national_id || '' FROM private.customers LIMIT 3;

ALTER TABLE products RENAME TO goods;
ALTER TABLE customers RENAME TO products;
SELECT national_id || '' FROM products LIMIT 3;

ALTER VIEW customer_overview RENAME COLUMN contact TO c;
SELECT c FROM customer_overview LIMIT 3;

ALTER VIEW customer_overview RENAME TO o;
SELECT contact || '' FROM o LIMIT 3;

CREATE VIEW v AS SELECT 1 AS national_id;
ALTER TABLE customers RENAME TO c2;
ALTER VIEW v RENAME TO customers;
SELECT national_id FROM c2 LIMIT 3;

-- Inheritance and partitions carry rows to where no label looks.
CREATE TABLE parent (email email_address, national_id text);
ALTER TABLE customers INHERIT parent;
SELECT email || '', national_id FROM parent LIMIT 3;

CREATE TABLE child () INHERITS (customers);
INSERT INTO child SELECT * FROM customers;
SELECT national_id FROM child LIMIT 3;

CREATE TABLE child (extra text) INHERITS (customers);
SELECT national_id, extra FROM child;
SELECT national_id || '' FROM customers LIMIT 3;

CREATE TABLE parts (LIKE payments) PARTITION BY RANGE (id);
ALTER TABLE parts ATTACH PARTITION payments FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
SELECT card_number || '' FROM parts LIMIT 4;

ALTER TABLE audit_log DETACH PARTITION audit_log_2024;
SELECT detail FROM audit_log_2024 LIMIT 3;

ALTER TABLE audit_log DETACH PARTITION audit_log_2024;
ALTER TABLE audit_log_2024 RENAME TO log;
SELECT detail ->> 'k' FROM log LIMIT 3;

CREATE TABLE audit_log_2023 PARTITION OF audit_log FOR VALUES FROM ('2022-01-01') TO ('2023-01-01');
INSERT INTO audit_log (at, actor, action, detail) SELECT '2022-02-02', 'a', 'b', detail FROM audit_log;
SELECT detail FROM audit_log_2023 LIMIT 3;

-- Partitions by the hidden value: the place tells it.
CREATE TABLE parts (id int, national_id text) PARTITION BY LIST (national_id);
CREATE TABLE parts_q PARTITION OF parts FOR VALUES IN ('{customers.national_id}');
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT id, national_id FROM customers;
SELECT id FROM parts_q;

CREATE TABLE parts (LIKE customers) PARTITION BY RANGE (national_id);
ALTER TABLE parts ATTACH PARTITION customers FOR VALUES FROM ('N') TO ('Nq');

-- Materialised views.
CREATE MATERIALIZED VIEW mv AS SELECT national_id AS x FROM customers;
SELECT x FROM mv LIMIT 3;

CREATE MATERIALIZED VIEW mv AS SELECT id FROM customers ORDER BY national_id;
SELECT id FROM mv;

CREATE MATERIALIZED VIEW mv AS SELECT id, national_id LIKE 'Nq%' b FROM customers WITH NO DATA;
REFRESH MATERIALIZED VIEW mv;
SELECT id, b FROM mv;

-- Views.
CREATE VIEW v AS SELECT national_id AS x, customers AS y FROM customers;
SELECT x FROM v LIMIT 3;
SELECT y FROM v LIMIT 3;

CREATE TEMP VIEW v AS SELECT * FROM customers;
SELECT national_id || '' FROM v LIMIT 3;

CREATE VIEW v AS SELECT name, national_id > 'Nq' AS b FROM customers;
SELECT name FROM v WHERE b;

CREATE VIEW v AS SELECT name FROM customers WHERE national_id > 'Nq';
SELECT name FROM v;

CREATE VIEW v AS SELECT id FROM customers ORDER BY national_id;
SELECT id FROM v;

CREATE RECURSIVE VIEW v (n) AS SELECT national_id FROM customers WHERE id = 1 UNION ALL SELECT substr(n, 2) FROM v WHERE n <> '';
SELECT n FROM v;

CREATE OR REPLACE VIEW customer_overview AS SELECT id, name, national_id::email_address AS contact, city, country, 1::bigint AS orders, 1::numeric AS spent, now() AS last_order_at FROM customers;
SELECT contact || '' FROM customer_overview;

CREATE VIEW v WITH (security_barrier, check_option = local) AS SELECT * FROM customers WHERE national_id > 'Nq';
UPDATE v SET city = 'x';

-- COPY, wherever it goes.
COPY customers TO STDOUT;

COPY (SELECT national_id FROM customers) TO STDOUT;

COPY customers (id, national_id) TO STDOUT WITH (FORMAT csv, HEADER);

COPY payments TO STDOUT WITH (FORMAT binary);

COPY customers TO '/tmp/sallyport-test-copy';

COPY customers TO PROGRAM 'cat';

COPY (SELECT id FROM customers ORDER BY national_id) TO STDOUT;

COPY (SELECT id FROM customers WHERE national_id > 'Nq') TO STDOUT;

COPY customers FROM STDIN WHERE national_id > 'Nq';

COPY (UPDATE customers SET city = 'x' RETURNING national_id) TO STDOUT;

-- Large objects.
SELECT lo_from_bytea(4711, national_id::bytea) FROM customers WHERE id = 1;
SELECT lo_get(4711);

SELECT lo_create(4712);
SELECT lo_put(4712, 0, (SELECT national_id::bytea FROM customers WHERE id = 1));
SELECT lo_get(4712), convert_from(lo_get(4712), 'UTF8');
SELECT * FROM pg_largeobject WHERE loid = 4712;

SELECT lo_export(4712, '/tmp/sallyport-test-lo');

-- Sequences keep numbers.
CREATE SEQUENCE s;
SELECT setval('s', salary::bigint) FROM employees WHERE id = 1;
SELECT last_value FROM s;
SELECT currval('s'), lastval(), nextval('s');

ALTER TABLE products ALTER id RESTART;
SELECT setval('products_id_seq', (SELECT salary::bigint FROM employees WHERE id = 1));
INSERT INTO products (sku, name, price) VALUES ('q', 'x', 1) RETURNING id;

-- Comments and defaults and names can carry values only if code makes them.
CREATE TABLE d (x text DEFAULT (SELECT national_id FROM customers WHERE id = 1));

CREATE TABLE d (i int, x text DEFAULT customer_email(1));
INSERT INTO d (i) VALUES (1) RETURNING x;
SELECT x FROM d;

ALTER TABLE products ALTER name SET DEFAULT customer_email(1);
INSERT INTO products (sku, price) VALUES ('q', 1) RETURNING name;

CREATE TABLE d (i int, x text GENERATED ALWAYS AS (customer_email(i)) STORED);

CREATE TABLE d (i int CHECK (customer_email(i) > 'zq'));
INSERT INTO d VALUES (1);

CREATE INDEX ON products (customer_email(id));

CREATE DOMAIN known AS text CHECK (VALUE = customer_email(1));
SELECT 'x'::known;

CREATE POLICY p ON products USING (customer_email(1) > 'zq');
ALTER TABLE products ENABLE ROW LEVEL SECURITY;
ALTER TABLE products FORCE ROW LEVEL SECURITY;
SELECT count(*) FROM products;

CREATE POLICY p ON customers USING (national_id > 'Nq');
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
ALTER TABLE customers FORCE ROW LEVEL SECURITY;
SELECT id FROM customers;

CREATE RULE r AS ON UPDATE TO products DO ALSO UPDATE orders SET total = (SELECT salary FROM employees WHERE id = 1);
UPDATE products SET price = 5 WHERE id = 1;
SELECT total FROM orders LIMIT 1;

CREATE RULE r AS ON INSERT TO products DO ALSO SELECT national_id FROM customers;
INSERT INTO products (sku, name, price) VALUES ('q', 'x', 1);

CREATE TABLE e (x text);
CREATE RULE "_RETURN" AS ON SELECT TO e DO INSTEAD SELECT national_id AS x FROM customers;
SELECT x FROM e;

CREATE RULE r AS ON DELETE TO products DO INSTEAD UPDATE customers SET notes = national_id;
DELETE FROM products WHERE id = 1;
SELECT notes FROM customers LIMIT 3;
