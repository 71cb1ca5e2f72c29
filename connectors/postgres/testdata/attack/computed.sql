-- Each: what is computed only if another value is so.
SELECT coalesce(national_id, (1 / (id - id))::text) FROM customers WHERE id = 4;
SELECT count(coalesce(national_id, (1 / (id - id))::text)) FROM customers WHERE id < 9;
SELECT national_id IN ('{customers.national_id}', (1 / (id - id))::text) FROM customers WHERE national_id IS NOT DISTINCT FROM national_id AND id = 1;
SELECT national_id IN ('{customers.national_id}', (1 / (id - id))::text) FROM customers WHERE id = 1;
SELECT national_id NOT IN ('{customers.national_id}', (1 / (id - id))::text) FROM customers WHERE id = 1;
SELECT national_id BETWEEN 'Nq' AND (1 / (id - id))::text FROM customers WHERE id < 9;
SELECT national_id NOT BETWEEN 'Nq' AND (1 / (id - id))::text FROM customers WHERE id = 1;
SELECT national_id BETWEEN SYMMETRIC 'Nq' AND (1 / (id - id))::text FROM customers WHERE id = 1;
SELECT (national_id, 1) = ('{customers.national_id}', 1 / (id - id)) FROM customers WHERE id = 1;
SELECT ROW(national_id, 1) = ROW('{customers.national_id}', 1 / (id - id)) FROM customers WHERE id = 1;
SELECT ROW(national_id, 1) <> ROW('{customers.national_id}', 1 / (id - id)) FROM customers WHERE id = 1;
SELECT ROW(national_id, 1) < ROW('{customers.national_id}', 1 / (id - id)) FROM customers WHERE id = 1;
SELECT ROW(national_id, 1) IS DISTINCT FROM ROW('{customers.national_id}', 1 / (id - id)) FROM customers WHERE id = 1;
SELECT national_id IN (SELECT '{customers.national_id}' UNION ALL SELECT (1 / (c.id - c.id))::text) FROM customers c WHERE id = 1;
SELECT national_id = ANY (SELECT CASE n WHEN 1 THEN '{customers.national_id}' ELSE (1 / (c.id - c.id))::text END FROM generate_series(1, 2) n) FROM customers c WHERE id = 1;
SELECT national_id <> ALL (SELECT CASE n WHEN 1 THEN '{customers.national_id}' ELSE (1 / (c.id - c.id))::text END FROM generate_series(1, 2) n) FROM customers c WHERE id = 1;
SELECT national_id = ANY (ARRAY['{customers.national_id}', (1 / (id - id))::text]) FROM customers c WHERE id = 1;
SELECT (national_id, 1) IN (('{customers.national_id}', 1), ('x', 1 / (id - id))) FROM customers c WHERE id = 1;
SELECT (national_id, 1) = ANY (SELECT CASE n WHEN 1 THEN '{customers.national_id}' ELSE (1 / (c.id - c.id))::text END, 1 FROM generate_series(1, 2) n) FROM customers c WHERE id = 1;
SELECT nullif(id, CASE WHEN true THEN (SELECT 1 / (id - id) WHERE c.national_id IS NULL) END) FROM customers c WHERE id = 4;
SELECT date_trunc(translate(substr(national_id, 2, 1), 'qzxjvkwh', 'ymd'), now()) FROM customers WHERE id = 1;
SELECT date_part(translate(substr(national_id, 2, 1), 'qzxjvkwh', 'ymdhymd'), now()) FROM customers WHERE id < 9;
SELECT pg_catalog."extract"(translate(substr(national_id, 2, 1), 'qzxjvkwh', 'ymdh'), now()) FROM customers WHERE id < 9;
SELECT split_part('x', 'y', strpos(national_id, 'q')) FROM customers WHERE id < 9;
SELECT split_part('x', 'y', strpos(national_id, 'q')) FROM customers WHERE id = 1;
SELECT split_part('x', 'y', position('z' in national_id)) FROM customers WHERE id = 2;
SELECT nth_value(id, strpos(national_id, 'q')) OVER () FROM customers WHERE id = 1;
SELECT ntile(strpos(national_id, 'q')) OVER () FROM customers WHERE id = 1;
SELECT jsonb_build_object(national_id, 1) FROM customers WHERE id = 4;
SELECT jsonb_build_object(national_id, 1) FROM customers WHERE id = 5;
SELECT json_build_object('a', 1, national_id, 2) FROM customers WHERE id < 9;
SELECT jsonb_build_object(VARIADIC ARRAY[national_id, 'x']) FROM customers WHERE id < 9;
SELECT jsonb_build_object(VARIADIC ARRAY['a', national_id]) FROM customers WHERE id < 9;
SELECT array_agg(DISTINCT national_id) FROM customers;
SELECT left('x', strpos(national_id, 'q')), right('x', strpos(national_id, 'q')) FROM customers;
SELECT lag(id, strpos(national_id, 'q')) OVER () FROM customers;
SELECT nextval('orders_id_seq') > 0 AND national_id > 'Nq' FROM customers WHERE id = 1;

-- Each: order that comes with an aggregate.
SELECT array_agg(id ORDER BY national_id), array_agg(id) FROM customers;
SELECT count(DISTINCT national_id), array_agg(id) FROM customers;
SELECT count(DISTINCT national_id), string_agg(id::text, ',') FROM customers;
SELECT min(id), count(DISTINCT national_id), json_agg(id) FROM customers GROUP BY country;
SELECT string_agg(DISTINCT phone, ','), jsonb_object_agg(id, id), array_agg(id) FROM customers;
SELECT count(DISTINCT national_id), array_agg(id ORDER BY 1) FROM customers;
SELECT count(DISTINCT national_id), array_agg(id ORDER BY country) FROM customers;
SELECT array_agg(id ORDER BY national_id) FILTER (WHERE id > 0), array_agg(id) FILTER (WHERE id > 0) FROM customers;
SELECT (SELECT count(DISTINCT national_id) FROM customers), array_agg(id) FROM customers;
SELECT count(DISTINCT d.national_id), (SELECT array_agg(c.id)) FROM customers c JOIN customers d USING (id);

-- Each: a guess beside the values that have pseudonyms.
SELECT iban FROM employees WHERE id = 1 UNION ALL SELECT '{employees.iban}';
SELECT CASE WHEN id = 1 THEN iban ELSE '{employees.iban}' END FROM employees WHERE id < 3;
SELECT coalesce(CASE id WHEN 1 THEN iban END, '{employees.iban}') FROM employees WHERE id < 3;
SELECT x FROM (VALUES ((SELECT iban FROM employees WHERE id = 1)), ('{employees.iban}')) v (x);
SELECT greatest(iban, '') FROM employees WHERE id = 1 UNION ALL SELECT '{employees.iban}';
SELECT id, iban, (SELECT min(iban) FROM employees) FROM employees ORDER BY id;
SELECT id, max(iban), count(*) FROM employees GROUP BY ROLLUP (id) ORDER BY id;
SELECT a.id, b.id, greatest(a.iban, b.iban), a.iban FROM employees a, employees b WHERE a.id = 1 AND b.id = 2;
SELECT id, iban, min(iban) OVER () FROM employees ORDER BY id;
WITH RECURSIVE r (n, x) AS (SELECT 1, iban FROM employees WHERE id = 1 UNION ALL SELECT n + 1, '{employees.iban}' FROM r WHERE n < 2) SELECT x FROM r;
WITH RECURSIVE r (n, x) AS (SELECT 1, '{employees.iban}' UNION ALL SELECT 2, iban FROM r JOIN employees ON id = 1 WHERE n < 2) SELECT x FROM r;
SELECT iban FROM employees WHERE id = 1 UNION ALL SELECT name FROM employees;
SELECT coalesce(d.x, e.iban) FROM employees e LEFT JOIN (VALUES (2, '{employees.iban}')) d (i, x) ON d.i = e.id WHERE id < 3;
SELECT iban FROM employees e FULL JOIN (VALUES (2, '{employees.iban}')) d (i, iban) USING (iban);
SELECT lag(iban, 1, '{employees.iban}') OVER (ORDER BY id) FROM employees WHERE id < 3;
SELECT max(x) FROM (SELECT iban, 1 FROM employees WHERE id = 1 UNION ALL SELECT '{employees.iban}', 2) v (x, n) GROUP BY n;

-- Each: sizes.
EXPLAIN (ANALYZE, SERIALIZE, TIMING off, SUMMARY off) SELECT x || x || x || x || x || x || x || x FROM (SELECT n || n || n || n || n || n || n || n FROM (SELECT national_id || national_id || national_id || national_id || national_id || national_id || national_id || national_id FROM customers WHERE id = 8) v (n)) w (x);
EXPLAIN (ANALYZE, TIMING off, SUMMARY off) SELECT x || x || x || x || x || x || x || x FROM (SELECT n || n || n || n || n || n || n || n FROM (SELECT national_id || national_id || national_id || national_id || national_id || national_id || national_id || national_id, name FROM customers WHERE id = 8) v (n, m) ORDER BY m LIMIT 30) w (x) ORDER BY 1;
EXPLAIN (ANALYZE, TIMING off, SUMMARY off) WITH w AS MATERIALIZED (SELECT replace(replace(concat(national_id, '.'), 'q', repeat('x', 5000)), 'z', repeat('x', 5000)) AS x, name FROM customers WHERE id = 1) SELECT name FROM w ORDER BY name;
EXPLAIN (ANALYZE, TIMING off, SUMMARY off) SELECT replace(replace(concat(national_id, '.'), 'q', repeat('x', 5000)), 'z', repeat('x', 5000)) AS x, name FROM customers WHERE id < 20 ORDER BY name;
