# Statements that write, or may, and look as if they did not.
WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d
WITH a AS (WITH b AS (UPDATE orders SET total = 1 RETURNING id) SELECT * FROM b) SELECT 1
EXPLAIN ANALYZE INSERT INTO orders (customer_id, total) VALUES (1, 1)
EXPLAIN (ANALYZE 1) UPDATE orders SET total = 1
EXPLAIN (ANALYZE on, COSTS off) CREATE TABLE x AS SELECT 1
SELECT 1 INTO newtable
SELECT * INTO TEMP x FROM orders
SELECT nextval('customers_id_seq')
SELECT setval('customers_id_seq', 1)
SELECT pg_catalog.nextval('customers_id_seq'::regclass)
SELECT "nextval"('customers_id_seq')
SELECT lo_create(0)
SELECT txid_current()
SELECT pg_current_xact_id()
SELECT id FROM orders FOR UPDATE
SELECT id FROM orders FOR KEY SHARE
SELECT (SELECT id FROM orders LIMIT 1 FOR UPDATE)
SELECT query_to_xml('DELETE FROM orders', true, false, '')
SELECT * FROM (SELECT setval('customers_id_seq', 1)) x
SELECT 1 WHERE setval('customers_id_seq', 1) > 0
SELECT 1 ORDER BY setval('customers_id_seq', 1)
SELECT 1 GROUP BY setval('customers_id_seq', 1)
SELECT 1 LIMIT setval('customers_id_seq', 1)
SELECT 1 OFFSET setval('customers_id_seq', 1)
SELECT count(*) FILTER (WHERE setval('customers_id_seq', 1) > 0)
SELECT sum(1) OVER (ORDER BY setval('customers_id_seq', 1))
SELECT sum(1) OVER (ROWS setval('customers_id_seq', 1) PRECEDING)
SELECT sum(1) OVER w WINDOW w AS (PARTITION BY setval('customers_id_seq', 1))
SELECT DISTINCT ON (setval('customers_id_seq', 1)) 1
SELECT 1 HAVING setval('customers_id_seq', 1) > 0
SELECT CASE WHEN setval('customers_id_seq', 1) > 0 THEN 1 END
SELECT ARRAY[setval('customers_id_seq', 1)]
SELECT (ARRAY[1])[setval('customers_id_seq', 1)]
SELECT ROW(setval('customers_id_seq', 1))
SELECT coalesce(setval('customers_id_seq', 1), 1)
SELECT greatest(setval('customers_id_seq', 1), 1)
SELECT nullif(setval('customers_id_seq', 1), 1)
SELECT setval('customers_id_seq', 1) IS NULL
SELECT setval('customers_id_seq', 1)::text
SELECT setval('customers_id_seq', 1) BETWEEN 1 AND 2
SELECT 1 = ANY (ARRAY[setval('customers_id_seq', 1)])
SELECT 1 IN (SELECT setval('customers_id_seq', 1))
SELECT * FROM setval('customers_id_seq', 1)
SELECT * FROM ROWS FROM (setval('customers_id_seq', 1), generate_series(1, 2)) x
SELECT * FROM orders TABLESAMPLE bernoulli (setval('customers_id_seq', 1))
SELECT * FROM orders TABLESAMPLE bernoulli (1) REPEATABLE (setval('customers_id_seq', 1))
SELECT * FROM orders o JOIN customers c ON setval('customers_id_seq', 1) > 0 LIMIT 1
SELECT * FROM orders o, LATERAL (SELECT setval('customers_id_seq', o.id)) x LIMIT 1
SELECT string_agg('x', 'y' ORDER BY setval('customers_id_seq', 1))
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY setval('customers_id_seq', 1))
SELECT xmlelement(name a, setval('customers_id_seq', 1))
SELECT * FROM XMLTABLE('/a' PASSING (setval('customers_id_seq', 1)::text::xml) COLUMNS x text PATH 'b')
VALUES (setval('customers_id_seq', 1))
TABLE orders FOR UPDATE
SELECT 1 UNION SELECT setval('customers_id_seq', 1)
WITH x AS (SELECT setval('customers_id_seq', 1)) SELECT * FROM x
SELECT last_card(1)
COPY (DELETE FROM orders RETURNING *) TO STDOUT
PREPARE p AS DELETE FROM orders
DECLARE c CURSOR FOR SELECT * FROM orders FOR UPDATE
MERGE INTO orders o USING customers c ON false WHEN MATCHED THEN DELETE
