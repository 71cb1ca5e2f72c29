# Queries of everyday work. Their answers are exact, and nothing in them is hidden.
SELECT 1
SELECT id, name, city, country FROM customers WHERE id < 10 ORDER BY id
SELECT count(*) FROM customers
SELECT country, count(*) FROM customers GROUP BY country ORDER BY 2 DESC, 1
SELECT o.id, o.status, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id <= 5 ORDER BY o.id
SELECT o.*, i.quantity, i.line_total FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.id = 3 ORDER BY i.product_id
SELECT status, sum(total), avg(total)::numeric(12, 2), min(placed_at) FROM orders GROUP BY status ORDER BY status
SELECT id, name FROM customers WHERE email = 'zqxcanary1@example.com'
SELECT id FROM customers WHERE email IN ('zqxcanary1@example.com', 'nobody@example.com')
SELECT upper(name), length(city), name || ' (' || city || ')' FROM customers WHERE id = 4
SELECT p.id, t FROM products p, unnest(p.tags) t WHERE p.id < 5 ORDER BY 1, 2
SELECT sku, attributes ->> 'color', attributes FROM products ORDER BY id LIMIT 5
SELECT row_to_json(p) FROM products p ORDER BY id LIMIT 2
SELECT p FROM products p ORDER BY id LIMIT 2
SELECT j.key, count(*) FROM products, jsonb_each(attributes) j GROUP BY 1 ORDER BY 1
SELECT day, currency, revenue FROM daily_revenue ORDER BY 1, 2 LIMIT 5
SELECT id, name, orders, spent FROM customer_overview WHERE id IN (1, 2, 3) ORDER BY id
WITH big AS (SELECT customer_id, sum(total) s FROM orders GROUP BY 1) SELECT c.name, b.s FROM big b JOIN customers c ON c.id = b.customer_id ORDER BY b.s DESC, c.id LIMIT 5
WITH RECURSIVE up AS (SELECT id, manager_id, name, 0 AS level FROM employees WHERE id = 50 UNION ALL SELECT e.id, e.manager_id, e.name, level + 1 FROM employees e JOIN up ON e.id = up.manager_id) SELECT level, name FROM up ORDER BY level
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n
SELECT * FROM generate_series(1, 5)
SELECT g, g * g FROM generate_series(1, 5) AS g
SELECT d::date FROM generate_series('2024-01-01'::timestamp, '2024-01-05', '1 day') d
SELECT name, rank() OVER (PARTITION BY country ORDER BY id) FROM customers WHERE id < 20 ORDER BY country, id
SELECT id, lag(total) OVER (ORDER BY id), sum(total) OVER w FROM orders WHERE id < 10 WINDOW w AS (ORDER BY id) ORDER BY id
SELECT amount, currency, status, paid_at FROM payments WHERE id < 5 ORDER BY id
SELECT currency, count(*) FILTER (WHERE status = 'captured'), sum(amount) FROM payments GROUP BY ROLLUP (currency) ORDER BY 1
SELECT CASE WHEN total > 100 THEN 'large' ELSE 'small' END, count(*) FROM orders GROUP BY 1 ORDER BY 1
SELECT DISTINCT country FROM customers ORDER BY 1
SELECT DISTINCT ON (country) country, name FROM customers ORDER BY country, id
SELECT name FROM customers WHERE id = 1 UNION ALL SELECT name FROM employees WHERE id = 1
SELECT city FROM customers WHERE country = 'DE' INTERSECT SELECT city FROM customers WHERE id < 1000 ORDER BY 1
SELECT c.name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customers c WHERE c.id < 5 ORDER BY c.id
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 500) ORDER BY id LIMIT 5
SELECT name FROM products WHERE name ILIKE '%a%' AND price BETWEEN 5 AND 50 ORDER BY id LIMIT 5
SELECT to_char(placed_at, 'YYYY-MM'), count(*) FROM orders GROUP BY 1 ORDER BY 1 LIMIT 12
SELECT date_trunc('month', placed_at) AS month, round(sum(total), 2) FROM orders GROUP BY 1 ORDER BY 1 LIMIT 12
SELECT coalesce(shipped_at, placed_at), shipped_at IS NULL FROM orders ORDER BY id LIMIT 5
SELECT x.n, x.s FROM (SELECT name AS n, length(name) AS s FROM customers ORDER BY id LIMIT 3) x ORDER BY x.n
SELECT c.name, l.total FROM customers c CROSS JOIN LATERAL (SELECT total FROM orders o WHERE o.customer_id = c.id ORDER BY id LIMIT 1) l WHERE c.id < 10 ORDER BY c.id
SELECT action, actor, customer_id FROM audit_log WHERE id < 5 ORDER BY id
SELECT action, count(*) FROM audit_log_2024 GROUP BY 1 ORDER BY 1
SELECT e.name, m.name AS manager FROM employees e LEFT JOIN employees m ON m.id = e.manager_id WHERE e.id < 10 ORDER BY e.id
SELECT * FROM order_items WHERE order_id = 7 ORDER BY product_id
VALUES (1, 'one'), (2, 'two')
SELECT NULL, true, 1.50, 'ß', E'a\tb', ARRAY[1, 2], '{"a": 1}'::jsonb, '2024-02-29'::date, interval '1 day 02:00'
SELECT string_agg(name, ', ' ORDER BY id) FROM products WHERE id < 5
SELECT array_agg(id ORDER BY id), json_agg(name ORDER BY id) FROM customers WHERE id < 4
SELECT relname FROM pg_class WHERE relname = 'customers' AND relkind = 'r'
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'orders' ORDER BY ordinal_position
SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1
SELECT current_database() IS NOT NULL, version() LIKE 'PostgreSQL%'
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders
SELECT regexp_replace(name, '\s.*', '') FROM customers WHERE id < 4 ORDER BY id
SELECT customers.name, public.customers.city FROM public.customers WHERE customers.id = 2
SELECT o.id FROM orders o JOIN order_items i ON o.id = i.order_id JOIN products p ON p.id = i.product_id WHERE p.price > 100 GROUP BY o.id ORDER BY o.id LIMIT 5
SHOW server_encoding
EXPLAIN (COSTS off) SELECT name FROM customers WHERE id = 1
SELECT greatest(1, 2), least('a', 'b'), nullif(1, 1), abs(-1)
SELECT count(DISTINCT country), bool_and(id > 0), max(id) FROM customers
SELECT c.id, c.name, count(*), max(o.placed_at) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.email, c.national_id, c.name ORDER BY c.id LIMIT 5
SELECT c.name, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE c.id < 9 GROUP BY phone, 1, c.id ORDER BY c.id
