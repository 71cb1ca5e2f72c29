-- Hash joins give rows that found no partner in the order of hash values.
SELECT b.id FROM (SELECT email FROM customers WHERE id <= 5) a RIGHT JOIN customers b USING (email);

SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT b.id FROM (SELECT email FROM customers WHERE id <= 5) a RIGHT JOIN customers b USING (email);
SELECT b.id FROM (SELECT email FROM customers WHERE id <= 5) a FULL JOIN customers b USING (email);
SELECT a.id FROM customers a LEFT JOIN (SELECT email FROM customers WHERE id <= 5) b USING (email);

SELECT id FROM customers WHERE email IN (SELECT email FROM customers WHERE id <= 20);

SELECT a.id FROM customers a JOIN customers b USING (email) LIMIT 3;

-- A join with a table of one's own guesses is a lookup of each, and nothing more.
CREATE TEMP TABLE guess (g text, n int);
INSERT INTO guess VALUES ('zq', 1), ('zz', 2);
SELECT n FROM guess JOIN customers ON g = email;
SELECT n FROM guess JOIN customers ON g < email;
SELECT n FROM guess JOIN customers ON email LIKE g;

-- A function in SQL is read with the path of the moment at which it runs.
CREATE SCHEMA s;
CREATE TABLE s.customers (id int, national_id text);
INSERT INTO s.customers VALUES (1, 'mine');
CREATE FUNCTION peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = 1';
SET search_path = s, public;
SELECT peek();
SET search_path = public;
SELECT peek();
SET search_path = public, s;
SELECT peek() || '';

CREATE SCHEMA s;
CREATE TABLE s.customers (id int, national_id text);
SET search_path = s, public;
CREATE FUNCTION public.peek() RETURNS text LANGUAGE sql STABLE SET search_path = public AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT peek();
SELECT public.peek();

CREATE SCHEMA s;
CREATE TABLE s.customers (id int, national_id text);
SET search_path = s, public;
CREATE FUNCTION public.peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT peek();
ALTER FUNCTION public.peek() SET search_path = public;
SELECT peek();

CREATE TEMP TABLE customers (id int, national_id text);
CREATE FUNCTION public.peek() RETURNS text LANGUAGE sql STABLE SET search_path = public, pg_temp AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT peek();

-- A function that was clean is replaced.
CREATE FUNCTION peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM customers WHERE id = 1';
SELECT peek();
CREATE OR REPLACE FUNCTION peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT peek();

CREATE FUNCTION peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM customers WHERE id = 1';
PREPARE p AS SELECT peek();
EXECUTE p;
CREATE OR REPLACE FUNCTION peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = 1';
EXECUTE p;

CREATE FUNCTION inner_peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM customers WHERE id = 1';
CREATE FUNCTION outer_peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT inner_peek()';
SELECT outer_peek();
CREATE OR REPLACE FUNCTION inner_peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT outer_peek();

CREATE FUNCTION peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM v';
CREATE VIEW v AS SELECT name FROM customers;
SELECT peek();

CREATE VIEW v AS SELECT name FROM customers WHERE id = 1;
CREATE FUNCTION peek() RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM v';
SELECT peek();
CREATE OR REPLACE VIEW v AS SELECT national_id AS name FROM customers WHERE id = 1;
SELECT peek();

-- Overloads, defaults, names of parameters.
CREATE FUNCTION pick(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM customers WHERE id = $1';
CREATE FUNCTION pick(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = $1::int';
SELECT pick(1), pick('1'), pick('1'::text);

CREATE FUNCTION pick(a text, b text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
SELECT pick(b => name, a => national_id) FROM customers LIMIT 2;
SELECT pick(a => name, b => national_id) FROM customers LIMIT 2;
SELECT pick(name, b => national_id) FROM customers LIMIT 2;

CREATE FUNCTION pick(a text, b text DEFAULT 'x') RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT b';
SELECT pick(national_id), pick(name, national_id), pick(b => national_id, a => 'x') FROM customers LIMIT 2;

CREATE FUNCTION pick(national_id text) RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT pick('x');

CREATE FUNCTION pick(x text) RETURNS text LANGUAGE sql STABLE AS 'SELECT x FROM (SELECT national_id AS x FROM customers WHERE id = 1) y';
SELECT pick('clean');

CREATE FUNCTION pick(x text) RETURNS text LANGUAGE sql STABLE AS 'SELECT pick.x FROM (SELECT national_id AS x FROM customers WHERE id = 1) y';
SELECT pick('clean'), pick(national_id) FROM customers LIMIT 1;

CREATE FUNCTION pick(VARIADIC x text[]) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT x[2]';
SELECT pick('a', national_id), pick(VARIADIC ARRAY['a', national_id]) FROM customers LIMIT 2;

CREATE FUNCTION pick(anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT $1';
SELECT pick(national_id), (pick(c)).national_id, pick(c) FROM customers c LIMIT 2;

CREATE FUNCTION pick(c customers) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT c.national_id';
SELECT pick(c), c.pick, (c).pick, pick(ROW(c.*)::customers) FROM customers c LIMIT 2;

CREATE FUNCTION pick(c customers) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ($1).name';
SELECT pick(c), c.pick FROM customers c LIMIT 2;

-- Bodies of several statements, of which the last gives the answer.
CREATE FUNCTION pick() RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM customers WHERE id = 1; SELECT national_id FROM customers WHERE id = 1';
SELECT pick();

CREATE FUNCTION pick() RETURNS text LANGUAGE sql AS 'INSERT INTO products (sku, name, price) SELECT ''q'', national_id, 1 FROM customers WHERE id = 1 RETURNING name';
SELECT pick();
SELECT name FROM products WHERE sku = 'q';

CREATE FUNCTION pick() RETURNS text LANGUAGE sql AS 'UPDATE products SET name = (SELECT national_id FROM customers WHERE id = 1) WHERE id = 1; SELECT ''x''::text';
SELECT pick();
SELECT name FROM products WHERE id = 1;

CREATE FUNCTION pick() RETURNS text LANGUAGE sql RETURN (SELECT national_id FROM customers WHERE id = 1);
SELECT pick();

CREATE FUNCTION pick() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT 'a'::text; SELECT national_id FROM customers WHERE id = 1; END;
SELECT pick();

CREATE FUNCTION pick() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT name FROM customers ORDER BY national_id';
SELECT pick();
SELECT * FROM pick();

CREATE FUNCTION pick() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT name FROM customers WHERE national_id > ''Nt''';
SELECT pick();
SELECT count(*) FROM pick();

CREATE FUNCTION pick() RETURNS TABLE (a text, b text) LANGUAGE sql STABLE AS 'SELECT name, national_id FROM customers WHERE id <= 2';
SELECT a FROM pick();
SELECT b FROM pick();
SELECT * FROM pick() AS x (b, a);
SELECT (pick()).b;

CREATE FUNCTION pick(OUT b text, OUT a text) LANGUAGE sql STABLE AS 'SELECT name, national_id FROM customers WHERE id = 1';
SELECT a, b FROM pick();
SELECT x.a FROM pick() x (a, b);

CREATE FUNCTION pick() RETURNS record LANGUAGE sql STABLE AS 'SELECT name, national_id FROM customers WHERE id = 1';
SELECT a, b FROM pick() AS x (a text, b text);
SELECT b FROM pick() AS x (a text, b text);

CREATE FUNCTION pick() RETURNS json LANGUAGE sql STABLE AS 'SELECT row_to_json(c) FROM customers c WHERE id = 1';
SELECT pick(), pick() ->> 'national_id';

CREATE FUNCTION pick(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT ascii(substr(national_id, $1, 1)) FROM customers WHERE id = 1';
SELECT pick(2), pick(3), pick(4);
SELECT chr(pick(g)) FROM generate_series(1, 9) g;
SELECT 1 FROM generate_series(1, pick(2));

CREATE FUNCTION fact(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT CASE WHEN $1 = 0 THEN (SELECT national_id FROM customers WHERE id = 1) ELSE fact($1 - 1) END';
SELECT fact(3);

CREATE FUNCTION a() RETURNS text LANGUAGE sql STABLE AS 'SELECT ''x''::text';
CREATE FUNCTION b() RETURNS text LANGUAGE sql STABLE AS 'SELECT a()';
CREATE OR REPLACE FUNCTION a() RETURNS text LANGUAGE sql STABLE AS 'SELECT national_id FROM customers WHERE id = 1 UNION ALL SELECT b() WHERE false LIMIT 1';
SELECT a(), b();

-- Operators, casts, aggregates and defaults by functions that can be read.
CREATE FUNCTION glue(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $2';
CREATE OPERATOR +++ (LEFTARG = text, RIGHTARG = text, FUNCTION = glue);
SELECT national_id +++ 'x', 'x' +++ name FROM customers LIMIT 2;

CREATE FUNCTION least_of(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, $2)';
CREATE AGGREGATE first_of (text) (SFUNC = least_of, STYPE = text);
SELECT first_of(national_id), first_of(name) FROM customers;

CREATE FUNCTION hint(text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > ''Nt''';
SELECT id FROM customers WHERE hint(national_id);
SELECT id, hint(national_id), hint(name) FROM customers LIMIT 3;
SELECT CASE WHEN hint(national_id) THEN 1 / (id - id) END FROM customers WHERE id = 1;

CREATE FUNCTION boom(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN $1 > ''Nt'' THEN 1 / 0 ELSE 1 END';
SELECT boom(national_id) FROM customers WHERE id = 1;

CREATE FUNCTION cast_it(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1::int';
SELECT cast_it(substr(national_id, 2, 1)) FROM customers WHERE id = 1;

CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
ALTER TABLE customers ALTER email TYPE text COLLATE loose;
SELECT id FROM customers WHERE email = upper('{customers.email}');

ALTER TABLE customers ALTER email TYPE char(30);
SELECT id FROM customers WHERE email = 'x';

ALTER TABLE customers ALTER email TYPE varchar(3) USING left(email, 3);
SELECT id FROM customers WHERE email = 'zqx';

UPDATE customers SET email = left(email, 3) || '@x' WHERE id = 1;
SELECT id FROM customers WHERE email = 'zxj@x';

-- Constraints that compare a hidden column with a clean one.
ALTER TABLE customers ADD CHECK (national_id <> name);

ALTER TABLE customers ADD CHECK (id <> 1 OR national_id <> '{customers.national_id}') NOT VALID;
UPDATE customers SET city = city WHERE id = 1;

CREATE TABLE child (CHECK (national_id < 'Nq')) INHERITS (customers);
INSERT INTO child SELECT * FROM customers WHERE id = 1;

CREATE UNIQUE INDEX i ON customers ((left(email, 2)));

CREATE UNIQUE INDEX i ON customers (phone) WHERE id IN (1, 2);

ALTER TABLE customers ADD CONSTRAINT k PRIMARY KEY (national_id);

ALTER TABLE customers ALTER phone SET NOT NULL;

-- Extensions bring functions.
CREATE EXTENSION tablefunc;
SELECT * FROM crosstab('SELECT id, 1, national_id FROM customers ORDER BY 1') AS x (id int, city text);
SELECT city FROM crosstab('SELECT id, 1, national_id FROM customers ORDER BY 1') AS x (id int, city text);
SELECT * FROM connectby('customers', 'national_id', 'city', 'x', 0) AS t (keyid text, parent text, level int);

CREATE EXTENSION hstore;
SELECT hstore(c) -> 'national_id', hstore(c), akeys(hstore('a', national_id)) FROM customers c LIMIT 2;
SELECT e.value FROM customers c, each(hstore(c)) e WHERE c.id = 1;
SELECT (each(hstore(c))).value FROM customers c WHERE c.id = 1;
SELECT id FROM customers c WHERE hstore(c) @> 'city=>x';
SELECT populate_record(NULL::customers, hstore(c)), hstore_to_json(hstore(c)) FROM customers c LIMIT 1;

CREATE EXTENSION pg_trgm;
SELECT show_trgm(national_id), similarity(national_id, 'Nq') FROM customers LIMIT 2;
SELECT id FROM customers WHERE national_id % 'Nq';
SELECT id FROM customers ORDER BY national_id <-> 'Nq';

CREATE EXTENSION fuzzystrmatch;
SELECT soundex(national_id), levenshtein(national_id, 'N'), metaphone(national_id, 20) FROM customers LIMIT 2;

CREATE EXTENSION pgcrypto;
SELECT digest(national_id, 'md5'), hmac(national_id, 'k', 'sha256'), armor(national_id::bytea), pgp_sym_encrypt(national_id, 'k') FROM customers LIMIT 2;
SELECT crypt(national_id, gen_salt('bf', 4)) FROM customers LIMIT 1;

CREATE EXTENSION citext;
SELECT national_id::citext, national_id::citext = 'nq' FROM customers LIMIT 2;
SELECT id FROM customers WHERE email::citext = upper('{customers.email}');
ALTER TABLE customers ALTER email TYPE citext;
SELECT email, name FROM customers LIMIT 2;
SELECT regexp_split_to_table(national_id::citext, '') FROM customers LIMIT 2;

CREATE EXTENSION unaccent;
SELECT unaccent(national_id) FROM customers LIMIT 2;

CREATE EXTENSION ltree;
SELECT text2ltree(national_id), subpath(text2ltree(national_id), 0, 1) FROM customers LIMIT 2;

CREATE EXTENSION intarray;
SELECT sort(ARRAY[salary::int, 1]), idx(ARRAY[1, 2], salary::int) FROM employees LIMIT 2;

CREATE EXTENSION dict_int;
CREATE EXTENSION tcn;
CREATE TRIGGER t AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION triggered_change_notification();
UPDATE customers SET city = 'x' WHERE id = 1;

-- Composite types and arrays keep labels.
CREATE TYPE pair AS (a text, b text);
SELECT (ROW(national_id, name)::pair).a, (ROW(national_id, name)::pair).b, (ROW(national_id, name)::pair).* FROM customers LIMIT 2;
SELECT x.a, x.b FROM customers, LATERAL (SELECT (ROW(name, national_id)::pair).*) x LIMIT 2;
SELECT (x).a FROM (SELECT ROW(national_id, name)::pair AS x FROM customers) y LIMIT 2;
SELECT u.a, u.b FROM customers, unnest(ARRAY[ROW(name, national_id)::pair]) u LIMIT 2;
SELECT (unnest(array_agg(ROW(name, national_id)::pair))).b FROM customers;

CREATE TABLE whole (c customers, cs customers[]);
INSERT INTO whole SELECT c, ARRAY[c] FROM customers c;
SELECT (c).national_id FROM whole LIMIT 2;

SELECT c, (SELECT u.national_id FROM unnest(ARRAY[c]) u) FROM customers c LIMIT 2;

SELECT u.* FROM customers c, unnest(ARRAY[c]) u LIMIT 2;

SELECT u.national_id, u.name FROM (SELECT array_agg(c) a FROM customers c) x, unnest(x.a) u LIMIT 2;

SELECT x.name, x.national_id FROM customers c, LATERAL (SELECT (c).name, (c).national_id) x LIMIT 2;

-- A column takes the place of another.
ALTER TABLE customers DROP COLUMN national_id;
ALTER TABLE customers RENAME email TO national_id;
SELECT national_id || '' FROM customers LIMIT 2;

ALTER TABLE customers DROP COLUMN notes;
ALTER TABLE customers RENAME national_id TO notes;
SELECT notes || '' FROM customers LIMIT 2;

DROP VIEW customer_overview;
CREATE VIEW customer_overview AS SELECT id, national_id AS name, name AS contact FROM customers;
SELECT name FROM customer_overview LIMIT 2;

-- COMMIT, ROLLBACK and CHAIN in one go with what was made.
BEGIN;
CREATE VIEW v AS SELECT name AS x FROM customers;
COMMIT AND CHAIN;
CREATE OR REPLACE VIEW v AS SELECT national_id AS x FROM customers;
SELECT x FROM v LIMIT 2;
COMMIT;
SELECT x FROM v LIMIT 2;

BEGIN;
SAVEPOINT a;
CREATE VIEW v AS SELECT national_id AS name FROM customers;
ROLLBACK TO a;
CREATE VIEW v AS SELECT name FROM customers;
SELECT name FROM v LIMIT 1;
COMMIT;
SELECT name FROM v LIMIT 1;

