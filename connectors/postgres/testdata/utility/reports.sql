-- Everyday questions of support, finance and warehouse.
SELECT count(*) FROM customers;
SELECT id, name, city FROM customers ORDER BY id LIMIT 10;
SELECT id, name, city FROM customers ORDER BY name, id LIMIT 10 OFFSET 10;
SELECT * FROM orders WHERE customer_id = 7 ORDER BY placed_at DESC;
SELECT * FROM products ORDER BY price DESC, id LIMIT 5;
SELECT name, price FROM products WHERE price BETWEEN 10 AND 50 ORDER BY price, id;
SELECT name FROM products WHERE name ILIKE '%chair%' OR name ~* 'lamp$' ORDER BY id;
SELECT name FROM products WHERE tags @> ARRAY['sale'] ORDER BY id;
SELECT name, tags FROM products WHERE 'sale' = ANY (tags) AND cardinality(tags) > 1 ORDER BY id;
SELECT attributes ->> 'colour' AS colour, count(*) FROM products GROUP BY 1 ORDER BY 2 DESC, 1;
SELECT id, attributes -> 'size_cm' -> 0 AS width, (attributes ->> 'weight_g')::int AS weight FROM products WHERE (attributes ->> 'weight_g')::int > 1000 ORDER BY id;
SELECT sku, jsonb_array_length(attributes -> 'size_cm') FROM products WHERE attributes ? 'colour' AND attributes @> '{"material": "oak"}' ORDER BY id;
SELECT status, count(*), sum(total), round(avg(total), 2), min(total), max(total) FROM orders GROUP BY status ORDER BY status;
SELECT status, count(*) FILTER (WHERE total > 100) AS large, count(*) FILTER (WHERE shipped_at IS NULL) AS open FROM orders GROUP BY status ORDER BY status;
SELECT date_trunc('month', placed_at) AS month, count(*), sum(total) FROM orders GROUP BY 1 ORDER BY 1;
SELECT to_char(placed_at, 'YYYY-"W"IW') AS week, sum(total) FROM orders GROUP BY 1 ORDER BY 1 LIMIT 20;
SELECT extract(isodow FROM placed_at) AS day, count(*) FROM orders GROUP BY 1 ORDER BY 1;
SELECT placed_at::date AS day, sum(sum(total)) OVER (ORDER BY placed_at::date) AS running FROM orders GROUP BY 1 ORDER BY 1;
SELECT avg(shipped_at - placed_at) FROM orders WHERE shipped_at IS NOT NULL;
SELECT id, age(shipped_at, placed_at), shipped_at - placed_at > interval '1 day' AS late FROM orders WHERE shipped_at IS NOT NULL ORDER BY id LIMIT 10;
SELECT percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY total) FROM orders;
SELECT width_bucket(total, 0, 1000, 10) AS bucket, count(*) FROM orders GROUP BY 1 ORDER BY 1;
SELECT c.country, count(DISTINCT c.id) AS customers, count(o.id) AS orders, coalesce(sum(o.total), 0) AS spent FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.country ORDER BY spent DESC, c.country;
SELECT c.name, o.id, o.status FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.status IN ('pending', 'paid') ORDER BY o.id;
SELECT c.name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id) ORDER BY c.id;
SELECT p.name, sum(i.quantity) AS sold, sum(i.line_total) AS revenue FROM order_items i JOIN products p ON p.id = i.product_id GROUP BY p.id, p.name ORDER BY revenue DESC, p.id LIMIT 10;
SELECT o.id, o.total, sum(i.line_total) AS items, o.total = sum(i.line_total) AS ok FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.id, o.total ORDER BY o.id LIMIT 20;
SELECT a.name, b.name, count(*) FROM order_items x JOIN order_items y ON x.order_id = y.order_id AND x.product_id < y.product_id JOIN products a ON a.id = x.product_id JOIN products b ON b.id = y.product_id GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 5;
SELECT currency, status, count(*), sum(amount) FROM payments GROUP BY GROUPING SETS ((currency, status), (currency), ()) ORDER BY 1, 2;
SELECT currency, sum(amount) FROM payments WHERE status = 'captured' GROUP BY currency HAVING sum(amount) > 10 ORDER BY 1;
SELECT p.id, p.amount, o.total - p.amount AS open FROM payments p JOIN orders o ON o.id = p.order_id WHERE p.status <> 'failed' ORDER BY p.id LIMIT 10;
SELECT status, count(*) FROM payments WHERE paid_at >= '2024-03-01' AND paid_at < '2024-06-01' GROUP BY status ORDER BY status;
SELECT e.name, m.name AS manager, e.hired_on FROM employees e LEFT JOIN employees m ON m.id = e.manager_id ORDER BY e.hired_on, e.id;
SELECT extract(year FROM hired_on) AS year, count(*), string_agg(name, ', ' ORDER BY name) FROM employees GROUP BY 1 ORDER BY 1;
SELECT actor, count(*), max(at) FROM audit_log GROUP BY actor ORDER BY 2 DESC, 1 LIMIT 10;
SELECT action, count(*) FROM audit_log WHERE at >= '2024-02-01' AND at < '2024-03-01' GROUP BY action ORDER BY action;
SELECT l.at, l.actor, l.action, c.name FROM audit_log l JOIN customers c ON c.id = l.customer_id WHERE l.action = 'order.refund' ORDER BY l.at;
SELECT tableoid::regclass AS part, count(*) FROM audit_log GROUP BY 1 ORDER BY 1;
SELECT * FROM daily_revenue ORDER BY day, currency LIMIT 10;
SELECT day, revenue, revenue - lag(revenue) OVER (PARTITION BY currency ORDER BY day) AS change FROM daily_revenue ORDER BY day, currency LIMIT 10;
SELECT id, name, orders, spent FROM customer_overview ORDER BY spent DESC, id LIMIT 10;
SELECT country, avg(spent) FROM customer_overview GROUP BY country ORDER BY country;
SELECT notes FROM customers WHERE notes IS NOT NULL ORDER BY id LIMIT 3;
SELECT name, length(name), upper(city) FROM customers WHERE name LIKE 'S%' ORDER BY id;
SELECT created_at, created_at AT TIME ZONE 'Europe/Berlin', created_at::date FROM customers ORDER BY id LIMIT 3;
SELECT max(created_at) - min(created_at), count(*) / 7 FROM customers;
SELECT 7 AS id, 'x' AS name, NULL AS nothing, now() IS NOT NULL AS soon, current_date > '2020-01-01' AS late;

-- Windows.
SELECT id, customer_id, total, row_number() OVER (PARTITION BY customer_id ORDER BY placed_at) AS n, sum(total) OVER (PARTITION BY customer_id ORDER BY placed_at) AS running FROM orders ORDER BY id LIMIT 20;
SELECT id, total, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w, ntile(4) OVER w FROM orders WINDOW w AS (ORDER BY total DESC) ORDER BY id LIMIT 20;
SELECT id, total, lag(total, 1, 0) OVER w, lead(total) OVER w, first_value(total) OVER w, last_value(total) OVER w, nth_value(total, 2) OVER w FROM orders WINDOW w AS (PARTITION BY status ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) ORDER BY id LIMIT 20;
SELECT id, avg(total) OVER (ORDER BY placed_at RANGE BETWEEN interval '7 days' PRECEDING AND CURRENT ROW) FROM orders ORDER BY id LIMIT 10;
SELECT * FROM (SELECT id, name, price, row_number() OVER (PARTITION BY attributes ->> 'colour' ORDER BY price DESC, id) r FROM products) x WHERE r = 1 ORDER BY id;
SELECT count(*) OVER () AS all, id, name FROM products ORDER BY id LIMIT 3;
SELECT id, total, total / sum(total) OVER () * 100 AS share FROM orders ORDER BY id LIMIT 5;

-- WITH.
WITH monthly AS (SELECT date_trunc('month', placed_at) m, sum(total) s FROM orders GROUP BY 1), ranked AS (SELECT *, rank() OVER (ORDER BY s DESC) r FROM monthly) SELECT m, s FROM ranked WHERE r <= 3 ORDER BY m;
WITH RECURSIVE chain AS (SELECT id, name, manager_id, 1 AS depth, ARRAY[id] AS path FROM employees WHERE manager_id IS NULL UNION ALL SELECT e.id, e.name, e.manager_id, depth + 1, path || e.id FROM employees e JOIN chain c ON c.id = e.manager_id) SELECT depth, name, path FROM chain ORDER BY path;
WITH RECURSIVE days (d) AS (SELECT date '2024-01-01' UNION ALL SELECT d + 1 FROM days WHERE d < '2024-01-10') SELECT d, count(o.id) FROM days LEFT JOIN orders o ON o.placed_at::date = d GROUP BY d ORDER BY d;
WITH a AS (SELECT id, name FROM customers WHERE country = 'DE'), b AS (SELECT customer_id, count(*) n FROM orders GROUP BY 1) SELECT a.name, coalesce(b.n, 0) FROM a LEFT JOIN b ON b.customer_id = a.id ORDER BY a.id;
WITH x AS MATERIALIZED (SELECT customer_id, max(total) m FROM orders GROUP BY 1) SELECT o.id FROM orders o JOIN x ON x.customer_id = o.customer_id AND x.m = o.total ORDER BY o.id LIMIT 10;
WITH RECURSIVE t AS (SELECT 1 n, 1 f UNION ALL SELECT n + 1, f * (n + 1) FROM t WHERE n < 10) SELECT n, f FROM t;

-- Subqueries, laterals, sets.
SELECT name, (SELECT max(placed_at) FROM orders o WHERE o.customer_id = c.id) AS last FROM customers c ORDER BY id LIMIT 10;
SELECT c.id, l.id AS order_id, l.total FROM customers c CROSS JOIN LATERAL (SELECT id, total FROM orders o WHERE o.customer_id = c.id ORDER BY total DESC, id LIMIT 2) l ORDER BY c.id, l.total DESC, l.id LIMIT 20;
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders GROUP BY customer_id HAVING count(*) > 2) ORDER BY id;
SELECT id FROM orders WHERE total > ALL (SELECT price FROM products) ORDER BY id LIMIT 5;
SELECT id FROM orders o WHERE total > (SELECT avg(total) FROM orders i WHERE i.status = o.status) ORDER BY id LIMIT 5;
SELECT city, 'customer' AS what FROM customers UNION SELECT 'Berlin', 'office' ORDER BY 1, 2;
SELECT id FROM products EXCEPT SELECT product_id FROM order_items ORDER BY 1 LIMIT 5;
SELECT customer_id FROM orders WHERE status = 'returned' INTERSECT SELECT customer_id FROM orders WHERE status = 'delivered' ORDER BY 1;
(SELECT 'orders' AS t, count(*) FROM orders) UNION ALL (SELECT 'customers', count(*) FROM customers) UNION ALL SELECT 'products', count(*) FROM products;
SELECT v.label, count(o.id) FROM (VALUES ('small', 0, 50), ('medium', 50, 200), ('large', 200, 100000)) v (label, lo, hi) LEFT JOIN orders o ON o.total >= v.lo AND o.total < v.hi GROUP BY v.label, v.lo ORDER BY v.lo;
SELECT d::date, count(o.id) FROM generate_series('2024-02-01'::timestamptz, '2024-02-07', '1 day') d LEFT JOIN orders o ON date_trunc('day', o.placed_at) = date_trunc('day', d) GROUP BY d ORDER BY d;
SELECT x.i, x.tag FROM products p, unnest(p.tags) WITH ORDINALITY AS x (tag, i) WHERE p.id = 1 ORDER BY 1;
SELECT j.key, j.value FROM products p, jsonb_each(p.attributes) j WHERE p.id = 2 ORDER BY 1;
SELECT key, count(*) FROM products, jsonb_object_keys(attributes) key GROUP BY key ORDER BY key;
SELECT s.v FROM products p CROSS JOIN LATERAL jsonb_array_elements_text(p.attributes -> 'size_cm') AS s (v) WHERE p.id = 3;
SELECT r.colour, r.weight_g FROM products p, jsonb_to_record(p.attributes) AS r (colour text, weight_g int) WHERE p.id <= 3 ORDER BY p.id;
SELECT word, count(*) FROM products, regexp_split_to_table(name, '\s+') word GROUP BY word ORDER BY 2 DESC, 1 LIMIT 10;
SELECT DISTINCT ON (customer_id) customer_id, id, placed_at FROM orders ORDER BY customer_id, placed_at DESC, id LIMIT 10;
SELECT a.id, b.id FROM products a JOIN products b ON b.price = a.price AND b.id > a.id ORDER BY 1, 2 LIMIT 5;
SELECT * FROM orders NATURAL JOIN (SELECT 7 AS customer_id) x ORDER BY id LIMIT 3;
SELECT order_id, p.id FROM order_items JOIN payments p USING (order_id) ORDER BY 1, 2 LIMIT 5;
SELECT * FROM (SELECT id, status FROM orders) o FULL JOIN (SELECT order_id AS id, amount FROM payments) p USING (id) ORDER BY id LIMIT 10;
SELECT id FROM orders WHERE (customer_id, status) IN ((7, 'delivered'), (1, 'paid')) ORDER BY id;
SELECT id FROM orders WHERE ROW(customer_id, id) > ROW(5, 100) ORDER BY customer_id, id LIMIT 5;

-- Building json, arrays and text of what is clean.
SELECT json_build_object('id', id, 'name', name, 'city', city) FROM customers ORDER BY id LIMIT 3;
SELECT jsonb_agg(jsonb_build_object('id', o.id, 'total', o.total) ORDER BY o.id) FROM orders o WHERE customer_id = 7;
SELECT json_object_agg(status, n ORDER BY status) FROM (SELECT status, count(*) n FROM orders GROUP BY 1) x;
SELECT row_to_json(x) FROM (SELECT id, name, price FROM products ORDER BY id LIMIT 3) x;
SELECT to_jsonb(p) - 'attributes' FROM products p ORDER BY id LIMIT 2;
SELECT array_agg(DISTINCT country ORDER BY country), array_to_string(array_agg(name ORDER BY id), '; ') FROM customers WHERE id < 6;
SELECT json_agg(json_build_object('order', o.id, 'items', (SELECT json_agg(i.product_id ORDER BY i.product_id) FROM order_items i WHERE i.order_id = o.id)) ORDER BY o.id) FROM orders o WHERE o.customer_id = 7;
SELECT xmlelement(name product, xmlattributes(id), xmlforest(name, price)) FROM products ORDER BY id LIMIT 2;
SELECT format('%s (%s)', name, sku), concat_ws(', ', name, price), name || ' / ' || sku FROM products ORDER BY id LIMIT 3;
SELECT left(name, 3), right(sku, 4), lpad(id::text, 6, '0'), replace(name, ' ', '_'), initcap(lower(name)), reverse(sku), md5(sku) FROM products ORDER BY id LIMIT 3;
SELECT split_part(name, ' ', 1), substring(sku FROM '[0-9]+'), regexp_replace(name, '[aeiou]', '*', 'g'), position('a' IN name), translate(sku, '-', '/') FROM products ORDER BY id LIMIT 3;
SELECT CASE WHEN price < 20 THEN 'cheap' WHEN price < 100 THEN 'fair' ELSE 'dear' END AS class, count(*) FROM products GROUP BY 1 ORDER BY 1;
SELECT coalesce(shipped_at::text, 'open'), nullif(status, 'paid'), greatest(total, 100), least(total, 50) FROM orders ORDER BY id LIMIT 5;
SELECT round(price * 1.19, 2), ceil(price), floor(price), trunc(price, 1), price::int, price::text, to_char(price, 'FM9990.00') FROM products ORDER BY id LIMIT 3;
SELECT total::float8 / 3, total % 7, abs(-total), sign(total), power(total, 2), sqrt(total)::numeric(10, 3) FROM orders ORDER BY id LIMIT 3;
SELECT ARRAY[id, customer_id], (ARRAY['a', 'b', 'c'])[2], array_length(tags, 1), tags[1], array_append(tags, 'new') FROM orders o JOIN products USING (id) ORDER BY o.id LIMIT 3;
SELECT to_tsvector('english', name) @@ plainto_tsquery('english', 'chair') FROM products ORDER BY id LIMIT 5;
SELECT id FROM products ORDER BY ts_rank(to_tsvector('english', name), to_tsquery('english', 'oak | chair')) DESC, id LIMIT 5;
SELECT tstzrange(placed_at, shipped_at) @> '2024-02-01'::timestamptz FROM orders WHERE shipped_at IS NOT NULL ORDER BY id LIMIT 5;
SELECT encode(sha256(sku::bytea), 'hex'), encode(sku::bytea, 'base64') FROM products ORDER BY id LIMIT 2;
SELECT jsonb_path_query_array(attributes, '$.size_cm[*] ? (@ > 10)') FROM products ORDER BY id LIMIT 3;
SELECT jsonb_pretty(attributes), jsonb_typeof(attributes -> 'weight_g'), attributes #>> '{size_cm,0}' FROM products ORDER BY id LIMIT 1;
SELECT p, (p).name FROM products p ORDER BY id LIMIT 1;
SELECT ROW(1, 'a'::text), (1, 2) = (1, 2);
VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC;
TABLE daily_revenue ORDER BY day, currency LIMIT 2;

-- masked: email, phone, national_id, date_of_birth
SELECT * FROM customers ORDER BY id LIMIT 5;
SELECT id, name, email, phone FROM customers WHERE id = 7;
SELECT c.*, o.id AS order_id, o.status FROM customers c JOIN orders o ON o.customer_id = c.id ORDER BY o.id LIMIT 5;
SELECT name, national_id, city, date_of_birth FROM customers WHERE country = 'DE' ORDER BY id;
SELECT o.id, c.name, c.email FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status = 'pending' ORDER BY o.id;
SELECT id, name, email FROM customers WHERE email = '{customers.email}';
SELECT id, name FROM customers WHERE email IN ('{customers.email}', 'nobody@example.com');
SELECT id, name FROM customers WHERE id < 100 AND email = '{customers.email}' AND country = 'DE';
WITH c AS (SELECT * FROM customers WHERE id = 3) SELECT c.id, c.email, c.city FROM c;
SELECT x.name, x.email FROM (SELECT name, email FROM customers ORDER BY id LIMIT 3) x;
SELECT c.name, c.phone, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS n FROM customers c ORDER BY c.id LIMIT 3;
SELECT id, max(email) AS email, count(*) FROM customers GROUP BY id ORDER BY id LIMIT 3;
TABLE customers ORDER BY id LIMIT 1;

-- masked: card_number, card_expiry, card_holder, iban, salary, email
SELECT * FROM payments ORDER BY id LIMIT 5;
SELECT id, amount, currency, card_number, status FROM payments WHERE customer_id = 7 ORDER BY id;
SELECT p.*, o.status AS order_status FROM payments p JOIN orders o ON o.id = p.order_id ORDER BY p.id LIMIT 3;
SELECT * FROM employees ORDER BY id;
SELECT name, salary FROM employees WHERE id = 1;
SELECT e.name, m.name AS boss, e.email, e.hired_on FROM employees e LEFT JOIN employees m ON m.id = e.manager_id ORDER BY e.id;

-- masked: detail, contact, contacts, line, sum, avg, whole, j, x
SELECT * FROM audit_log ORDER BY id LIMIT 3;
SELECT id, action, detail FROM audit_log_2024 ORDER BY id LIMIT 3;
SELECT id, name, contact FROM customer_overview ORDER BY id LIMIT 3;
SELECT country, string_agg(email, ',' ORDER BY id) AS contacts FROM customers GROUP BY country ORDER BY country;
SELECT name, name || ' <' || email || '>' AS line FROM customers ORDER BY id LIMIT 3;
SELECT count(*), sum(salary), avg(salary) FROM employees;
SELECT c AS whole, c.id FROM customers c ORDER BY id LIMIT 2;
SELECT id, row_to_json(c) AS j FROM customers c ORDER BY id LIMIT 2;
SELECT id, coalesce(phone, 'none') AS x FROM customers ORDER BY id LIMIT 3;

-- Masked values decide about constants. masked: contactable, contact, age, has_mail
SELECT id, CASE WHEN email IS NULL AND phone IS NULL THEN 'no' ELSE 'yes' END AS contactable FROM customers WHERE id < 9;
SELECT id, CASE WHEN email IS NULL THEN name ELSE email END AS contact FROM customers WHERE id < 9;
SELECT id, email IS NOT NULL AND phone IS NOT NULL AS contactable FROM customers WHERE id < 9;
SELECT id, nullif(email, '') AS contact, coalesce(phone, email, 'n/a') AS contactable FROM customers WHERE id < 9;
SELECT id, CASE WHEN date_of_birth < '1970-01-01' THEN 'old' WHEN date_of_birth < '2000-01-01' THEN 'middle' ELSE 'young' END AS age FROM customers WHERE id < 9;
SELECT c.id, c.email IN (SELECT email FROM employees) AS has_mail FROM customers c WHERE id < 9;
SELECT country, count(DISTINCT email) AS contact, count(*), min(created_at) FROM customers GROUP BY country ORDER BY country;

-- Hidden columns joined with each other.
SELECT count(*) FROM customers c JOIN employees e ON c.email = e.email;
SELECT c.id, c.name, e.name AS employee FROM customers c JOIN employees e ON e.email = c.email ORDER BY c.id;
SELECT c.id, e.id AS e FROM customers c JOIN employees e USING (email) ORDER BY e.id LIMIT 3;
SELECT c.id FROM customers c WHERE EXISTS (SELECT 1 FROM employees e WHERE e.email = c.email) ORDER BY c.id;
SELECT c.id FROM customers c WHERE c.email IN (SELECT email FROM employees) ORDER BY id DESC;
SELECT c.country, count(*) FROM customers c JOIN employees e ON e.email = c.email GROUP BY c.country ORDER BY 2 DESC, 1;
SELECT c.id, e.name FROM customers c LEFT JOIN employees e ON e.email = c.email ORDER BY c.id, e.id;
SELECT EXISTS (SELECT 1 FROM payments p JOIN employees e ON p.iban = e.iban LIMIT 1);
SELECT 1 AS one FROM customers c JOIN employees e ON c.email = e.email LIMIT 1;
SELECT c.id AS b FROM customers c NATURAL JOIN (SELECT email FROM employees) e ORDER BY c.id;
