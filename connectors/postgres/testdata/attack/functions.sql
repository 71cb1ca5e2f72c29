-- A function in SQL that reads the hidden column: its result, in every place where a call can stand.
CREATE FUNCTION peek() RETURNS text LANGUAGE sql AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT peek();
SELECT upper(peek()), peek() || 'x', (SELECT peek());
SELECT * FROM peek();
SELECT p FROM peek() p;
VALUES (peek());

-- Declared immutable, so that the planner computes it.
CREATE FUNCTION peek() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT national_id FROM customers WHERE id = 1';
EXPLAIN SELECT peek();
EXPLAIN VERBOSE SELECT * FROM products WHERE name = peek();
EXPLAIN (FORMAT JSON) SELECT 1 FROM products ORDER BY peek();

CREATE FUNCTION peek(int) RETURNS customers LANGUAGE sql STABLE AS 'SELECT c FROM customers c WHERE id = $1';
SELECT peek(1);
SELECT (peek(1)).national_id, (peek(1)).*;
SELECT * FROM peek(1);
SELECT p.national_id, p FROM peek(1) p;
SELECT c.id, p.* FROM customers c, peek(c.id) p LIMIT 3;

CREATE FUNCTION peek() RETURNS SETOF customers LANGUAGE sql AS 'TABLE customers';
SELECT * FROM peek() LIMIT 3;
SELECT national_id FROM peek() LIMIT 3;
SELECT id FROM peek() ORDER BY national_id;

CREATE FUNCTION peek() RETURNS TABLE (id int, x text) LANGUAGE sql BEGIN ATOMIC SELECT id, national_id FROM customers; END;
SELECT * FROM peek() LIMIT 3;

CREATE FUNCTION peek(OUT a text, OUT b text) LANGUAGE sql AS 'SELECT national_id, email FROM customers WHERE id = 1';
SELECT * FROM peek();
SELECT (peek()).a;

CREATE FUNCTION peek(INOUT x jsonb) LANGUAGE sql AS 'SELECT jsonb_agg(c) FROM customers c';
SELECT peek('{}');
SELECT j.v FROM jsonb_array_elements(peek('{}')) j (v) LIMIT 2;

CREATE FUNCTION peek(c customers) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1.national_id';
SELECT peek(c), c.peek FROM customers c LIMIT 3;
SELECT (c).peek FROM customers c LIMIT 3;

CREATE FUNCTION peek(int, x text DEFAULT customer_email(1)) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $2';
SELECT peek(1);

CREATE FUNCTION peek(VARIADIC text[]) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1[1]';
SELECT peek(national_id, name) FROM customers LIMIT 3;

-- In plpgsql, which nobody can look into.
CREATE FUNCTION peek() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT national_id FROM customers WHERE id = 1); END';
SELECT peek();
SELECT length(peek()), left(peek(), 7);
SELECT * FROM peek();

CREATE FUNCTION peek() RETURNS SETOF text LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE ''SELECT nat'' || ''ional_id FROM customers''; END';
SELECT peek();
SELECT p FROM peek() AS p LIMIT 3;

CREATE FUNCTION peek() RETURNS SETOF record LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT id, national_id FROM customers; END';
SELECT * FROM peek() AS p (id int, city text);
SELECT city FROM peek() AS p (id int, city text);

CREATE FUNCTION peek() RETURNS refcursor LANGUAGE plpgsql AS 'DECLARE c refcursor := ''cur''; BEGIN OPEN c FOR SELECT national_id FROM customers; RETURN c; END';
BEGIN;
SELECT peek();
FETCH ALL FROM cur;
FETCH ALL FROM "cur";
COMMIT;

CREATE FUNCTION shadow(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT national_id FROM customers WHERE id = 1); END';
SELECT name, shadow(name) FROM products LIMIT 2;
SELECT count(*) FROM products WHERE shadow(name) = 'x';

CREATE FUNCTION peek(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 1 AS 'BEGIN RETURN $1 > ''Nq''; END';
SELECT id FROM customers WHERE peek(national_id);
SELECT id, peek(national_id) FROM customers;

-- A function whose name is that of a built-in one, in a schema before it or beside it.
CREATE FUNCTION public.upper(text) RETURNS text LANGUAGE sql AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT upper('x');
SELECT public.upper('x');
SELECT upper('x'::text), upper(name) FROM products LIMIT 1;

CREATE SCHEMA s;
CREATE FUNCTION s.abs(int) RETURNS text LANGUAGE sql AS 'SELECT national_id FROM customers WHERE id = $1';
SET search_path = s, pg_catalog, public;
SELECT abs(1);

CREATE FUNCTION pg_temp.peek() RETURNS text LANGUAGE sql AS 'SELECT national_id FROM public.customers WHERE id = 1';
SELECT pg_temp.peek();
SELECT * FROM pg_temp.peek();

CREATE FUNCTION public.length(customers) RETURNS text LANGUAGE sql AS 'SELECT $1.national_id';
SELECT length(c) FROM customers c LIMIT 2;
SELECT c.length FROM customers c LIMIT 2;

CREATE FUNCTION count(anyelement) RETURNS text LANGUAGE sql AS 'SELECT national_id FROM customers WHERE id = 1';
SELECT public.count(1), count(1);

-- Aggregates, operators, casts, types made of functions.
CREATE FUNCTION gather(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, '''') || coalesce($2, '''')';
CREATE AGGREGATE all_of (text) (SFUNC = gather, STYPE = text);
SELECT all_of(national_id) FROM customers;
SELECT all_of(national_id) OVER (ORDER BY id) FROM customers LIMIT 3;
SELECT all_of(DISTINCT name ORDER BY name) FROM products;

CREATE FUNCTION last_of(text, text) RETURNS text LANGUAGE sql AS 'SELECT national_id FROM customers WHERE id = 1';
CREATE AGGREGATE max (text) (SFUNC = last_of, STYPE = text);
SELECT public.max(name) FROM products;

CREATE OPERATOR @#@ (RIGHTARG = int, FUNCTION = customer_email);
SELECT @#@ 1, @#@ id FROM customers LIMIT 3;

CREATE FUNCTION one_is(int, int) RETURNS text LANGUAGE sql AS 'SELECT national_id FROM customers WHERE id = $1';
CREATE OPERATOR + (LEFTARG = int, RIGHTARG = int, FUNCTION = one_is);
SELECT 1 OPERATOR(public.+) 1;
SET search_path = public, pg_catalog;
SELECT 1 + 1;

CREATE FUNCTION same(text, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''%'', (SELECT national_id FROM customers WHERE id = 1); END';
CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = same);
SET search_path = public, pg_catalog;
SELECT 1 FROM products WHERE name = 'x';
SELECT 'a' IN ('b'), CASE name WHEN 'x' THEN 1 END FROM products;

CREATE TYPE wrapped AS (x text);
CREATE FUNCTION wrap(int) RETURNS wrapped LANGUAGE sql AS 'SELECT ROW(national_id)::wrapped FROM customers WHERE id = $1';
CREATE CAST (int AS wrapped) WITH FUNCTION wrap(int);
SELECT 1::wrapped, (1::wrapped).x;
SELECT CAST(id AS wrapped) FROM customers LIMIT 3;

CREATE FUNCTION as_text(customers) RETURNS text LANGUAGE sql AS 'SELECT $1.national_id';
CREATE CAST (customers AS text) WITH FUNCTION as_text(customers) AS IMPLICIT;
SELECT c::text FROM customers c LIMIT 2;
SELECT c || '' FROM customers c LIMIT 2;

CREATE FUNCTION checked(text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''%'', $1; END';
CREATE DOMAIN told AS text CHECK (checked(VALUE));
SELECT national_id::told FROM customers LIMIT 1;
SELECT name::told FROM products LIMIT 1;

CREATE DOMAIN low AS text CHECK (VALUE < 'Nq');
SELECT id, national_id::low FROM customers;
SELECT count(national_id::low) FROM customers WHERE id = 1;

CREATE DOMAIN low AS numeric CHECK (VALUE < 500000);
SELECT salary::low IS NULL FROM employees;
CREATE TEMP TABLE t (x low);
INSERT INTO t SELECT salary FROM employees WHERE id = 1;

CREATE TYPE span AS RANGE (subtype = text);
SELECT span(national_id, NULL), lower(span(national_id, NULL)) FROM customers LIMIT 3;
SELECT span('Nq', 'Nz') @> national_id FROM customers;

-- Procedures.
CREATE PROCEDURE tell(INOUT x text) LANGUAGE plpgsql AS 'BEGIN x := (SELECT national_id FROM customers WHERE id = 1); END';
CALL tell('x');

-- The function changes a column that nobody labelled, or makes a table.
CREATE FUNCTION spill() RETURNS void LANGUAGE sql AS 'UPDATE customers SET notes = national_id';
SELECT notes FROM customers LIMIT 2;

-- Errors and notices out of functions.
CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''%'', (SELECT national_id FROM customers WHERE id = 1); END';
SELECT boom();
SELECT 1 FROM boom();

CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'DECLARE v text := (SELECT national_id FROM customers WHERE id = 1); BEGIN RAISE EXCEPTION SQLSTATE ''42703'' USING MESSAGE = v, DETAIL = v, HINT = v, COLUMN = v, CONSTRAINT = v, TABLE = v, SCHEMA = v, DATATYPE = v; END';
SELECT boom();

CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'DECLARE v text := (SELECT national_id FROM customers WHERE id = 1); BEGIN RAISE WARNING ''%'', v; RAISE INFO ''%'', v; RAISE LOG ''%'', v; RAISE NOTICE USING MESSAGE = v, DETAIL = v, HINT = v; RETURN 1; END';
SET client_min_messages = debug5;
SELECT boom();

CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE (SELECT national_id FROM customers WHERE id = 1); RETURN 1; END';
SELECT boom();

CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT '' || (SELECT national_id FROM customers WHERE id = 1) || ''(1)''; RETURN 1; END';
SELECT boom();

CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT national_id FROM customers WHERE id = 1)::int; END';
SELECT boom();

CREATE FUNCTION boom() RETURNS int LANGUAGE plpgsql AS 'BEGIN ASSERT false, (SELECT national_id FROM customers WHERE id = 1); RETURN 1; END';
SELECT boom();

CREATE FUNCTION boom() RETURNS int LANGUAGE sql AS 'SELECT national_id::int FROM customers WHERE id = 1';
SELECT boom();
EXPLAIN SELECT boom();

DO $$ BEGIN RAISE NOTICE '%', (SELECT national_id FROM customers WHERE id = 1); END $$;

DO $$ BEGIN RAISE EXCEPTION '%', (SELECT string_agg(national_id, ',') FROM customers); END $$;

DO $$ BEGIN RAISE SQLSTATE '42P01' USING MESSAGE = (SELECT national_id FROM customers WHERE id = 1); END $$;

DO $$ BEGIN PERFORM national_id::int FROM customers; END $$;

DO LANGUAGE plpgsql 'BEGIN PERFORM set_config(''application_name'', (SELECT national_id FROM customers WHERE id = 1), false); END';
SHOW application_name;
SELECT current_setting('application_name');

DO $$ BEGIN PERFORM pg_notify('c', (SELECT national_id FROM customers WHERE id = 1)); END $$;

-- Triggers.
CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := (SELECT national_id FROM customers WHERE id = 1); RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON products FOR EACH ROW EXECUTE FUNCTION tr();
SELECT 1;
