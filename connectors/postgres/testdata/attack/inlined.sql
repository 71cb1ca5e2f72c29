-- Each: what a subquery or a view computes may be computed only where it is used.
SELECT CASE WHEN n > 'Nq' THEN x ELSE 0 END FROM (SELECT national_id AS n, 1 / (id - id) AS x FROM customers WHERE id < 9) s;
SELECT coalesce(n, x) FROM (SELECT national_id AS n, (1 / (id - id))::text AS x FROM customers WHERE id < 9) s;
SELECT n IN ('{customers.national_id}', x) FROM (SELECT national_id AS n, (1 / (id - id))::text AS x FROM customers WHERE id = 1) s;
SELECT n = '{customers.national_id}' AND b FROM (SELECT national_id AS n, 1 / (id - id) = 1 AS b FROM customers WHERE id = 1) s;
SELECT CASE WHEN n > 'Nq' THEN x END FROM (SELECT national_id AS n, (SELECT name FROM products p WHERE p.id <= c.id + 5) AS x FROM customers c WHERE id < 9) s;
WITH s AS (SELECT national_id AS n, 1 / (id - id) AS x FROM customers WHERE id < 9) SELECT CASE WHEN n > 'Nq' THEN x ELSE 0 END FROM s;
SELECT CASE WHEN n > 'Nq' THEN x ELSE 0 END FROM customers c, LATERAL (SELECT c.national_id AS n, 1 / (c.id - c.id) AS x) s WHERE id < 9;
SELECT CASE WHEN n > 'Nq' THEN x ELSE 0 END FROM customers c CROSS JOIN LATERAL (VALUES (c.national_id, 1 / (c.id - c.id))) s (n, x) WHERE id < 9;
SELECT CASE WHEN s.n > 'Nq' THEN s.x ELSE 0 END FROM (SELECT national_id, 1 / (id - id) FROM customers WHERE id < 9) s (n, x);
SELECT (SELECT CASE WHEN n > 'Nq' THEN x ELSE 0 END) FROM (SELECT national_id AS n, 1 / (id - id) AS x FROM customers WHERE id = 1) s;
SELECT CASE WHEN national_id > 'Nq' THEN 'x'::email_address END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN name::int END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN name ~ '(' END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN (name || 'x' LIKE 'a\') END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN split_part(name, 'x', 0) END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN left(name, id - 2147483647 * 2) END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN (SELECT 1 FROM products) END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN tags || ARRAY[['x']] END FROM customers c JOIN products p ON p.id = c.id;
SELECT CASE WHEN national_id > 'Nq' THEN relname::text < name END FROM customers c, pg_class r WHERE r.oid = 1259 AND id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN greatest(relname::text, name) END FROM customers c, pg_class r WHERE r.oid = 1259 AND id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN (now() + interval '1 year' * 300000)::text END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN current_setting('no.such') END FROM customers WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN EXISTS (SELECT 1 / (c.id - c.id)) END FROM customers c WHERE id < 9;
SELECT CASE WHEN national_id > 'Nq' THEN 1 WHEN 1 / (id - id) = 1 THEN 2 END FROM customers WHERE id < 9;
SELECT CASE national_id WHEN '{customers.national_id}' THEN 'a' WHEN (1 / (id - id))::text THEN 'b' END FROM customers WHERE id = 1;
SELECT nullif(national_id, (1 / (id - id))::text) FROM customers WHERE id = 1;

-- Each: the order of joined rows, shown otherwise.
SELECT ARRAY(SELECT c.id FROM customers c JOIN employees e ON c.email = e.email);
SELECT JSON_ARRAY(SELECT c.id FROM customers c JOIN employees e ON c.email = e.email);
SELECT (SELECT array_agg(x) FROM (SELECT c.id AS x FROM customers c JOIN employees e ON c.email = e.email) s);
SELECT * FROM (SELECT c.id FROM customers c JOIN employees e ON c.email = e.email) s, generate_series(1, 2) WITH ORDINALITY;
SELECT xmlagg(xmlelement(name a, c.id)) FROM customers c JOIN employees e ON c.email = e.email;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT c.id FROM customers c JOIN employees e ON c.email = e.email WHERE e.id = 5;

SET enable_hashjoin = off;
SET enable_nestloop = off;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT c.id FROM customers c JOIN employees e ON c.email = e.email WHERE e.id = 5;
SELECT ARRAY(SELECT c.id FROM customers c JOIN employees e ON c.email = e.email);
