-- Each: joins of hidden columns give their rows in no order that tells.
SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email;
SELECT c.id, e.id FROM customers c JOIN employees e USING (email);
SELECT c.id FROM customers c WHERE email IN (SELECT email FROM employees);
SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email LIMIT 3;
SELECT c.id FROM customers c JOIN employees e ON c.email = e.email ORDER BY c.country LIMIT 3;
SELECT row_number() OVER (), c.id FROM customers c JOIN employees e ON c.email = e.email;
SELECT array_agg(c.id) FROM customers c JOIN employees e ON c.email = e.email;
SELECT string_agg(c.id::text, ',') FROM customers c WHERE email IN (SELECT email FROM employees);
SELECT random(), c.id FROM customers c JOIN employees e ON c.email = e.email;
SELECT * FROM (SELECT c.id FROM customers c JOIN employees e ON c.email = e.email LIMIT 3) x ORDER BY id;
SELECT id, (SELECT e.id FROM employees e WHERE e.email = c.email LIMIT 1) FROM customers c;
SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email JOIN employees z ON true ORDER BY z.id, e.name;
SELECT c.id, e.id FROM customers c LEFT JOIN employees e ON c.email = e.email ORDER BY e.id;
SELECT c.id, e.id FROM customers c FULL JOIN employees e ON c.email = e.email;
EXPLAIN SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email;
SELECT c.id FROM customers c JOIN (VALUES ('{employees.email}')) v (x) ON c.email = v.x;
SELECT e.id FROM employees e JOIN (VALUES ('{employees.email}')) v (x) ON e.email = v.x;
SELECT e.id FROM employees e JOIN (SELECT email FROM customers UNION ALL SELECT '{employees.email}') v (x) ON e.email = v.x;
SELECT e.id FROM employees e JOIN (SELECT CASE WHEN id > 0 THEN '{employees.email}' ELSE email END FROM customers) v (x) ON e.email = v.x;
SELECT e.id FROM employees e WHERE e.email IN (SELECT coalesce(c.notes, c.email) FROM customers c);
SELECT a.id FROM employees a JOIN employees b ON a.email = b.email AND a.iban = b.iban;
SELECT c.id FROM customers c JOIN employees e ON c.email = e.email AND e.salary > 5;
SELECT p.id FROM payments p JOIN employees e ON p.iban = e.iban;

SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email;
SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email ORDER BY c.country;
SELECT c.id, e.id FROM customers c FULL JOIN employees e ON c.email = e.email;
SELECT c.id, e.id, d.id FROM customers c JOIN employees e ON c.email = e.email JOIN customers d ON d.email = e.email;
SELECT count(*), min(c.id) FROM customers c JOIN employees e ON c.email = e.email;
DECLARE k CURSOR WITH HOLD FOR SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email;
FETCH 2 FROM k;

CREATE TABLE joined AS SELECT c.id FROM customers c JOIN employees e ON c.email = e.email;
SELECT ctid, id FROM joined;

CREATE TEMP TABLE t (n serial, i int);
INSERT INTO t (i) SELECT c.id FROM customers c JOIN employees e ON c.email = e.email;
SELECT * FROM t;

-- A guess is written into a hidden column, which is then joined with another.
INSERT INTO customers (id, name, email, country, city) VALUES (-1, 'x', '{employees.email}x', 'DE', 'x');
SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email ORDER BY c.id, e.id;

UPDATE employees SET email = '{customers.email}' WHERE id = 16;
SELECT c.id, e.id FROM customers c JOIN employees e ON c.email = e.email ORDER BY c.id, e.id;
SELECT count(*) FROM employees a JOIN employees b ON a.email = b.email;

ALTER TABLE payments ALTER iban SET DEFAULT '{employees.iban}';
INSERT INTO payments (order_id, customer_id, amount, currency, status) SELECT id, customer_id, 1, 'EUR', 'failed' FROM orders WHERE NOT EXISTS (SELECT FROM payments p WHERE p.order_id = orders.id) ORDER BY id LIMIT 1;
SELECT e.id FROM payments p JOIN employees e ON p.iban = e.iban;

-- A guess is written where values have pseudonyms.
UPDATE employees SET iban = '{employees.iban}' WHERE id = 16;
SELECT id, iban FROM employees ORDER BY id;

MERGE INTO employees e USING (VALUES (16, '{employees.iban}')) v (i, x) ON e.id = v.i WHEN MATCHED THEN UPDATE SET iban = v.x;
SELECT id, iban FROM employees WHERE id IN (1, 16);

UPDATE employees SET iban = '{employees.iban}' WHERE id = 16 RETURNING iban, (SELECT iban FROM employees WHERE id = 1);

COPY employees (iban) FROM STDIN;
SELECT id, iban FROM employees;
