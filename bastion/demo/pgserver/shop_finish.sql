-- The demo shop, second half: keys, indexes, views, functions and comments.

ALTER TABLE customers   ADD PRIMARY KEY (id);
ALTER TABLE products    ADD PRIMARY KEY (id);
ALTER TABLE orders      ADD PRIMARY KEY (id);
ALTER TABLE order_items ADD PRIMARY KEY (order_id, product_id);
ALTER TABLE payments    ADD PRIMARY KEY (id);
ALTER TABLE employees   ADD PRIMARY KEY (id);
ALTER TABLE audit_log   ADD PRIMARY KEY (id, at);

CREATE UNIQUE INDEX customers_email_key ON customers (email);
CREATE INDEX customers_country_city_idx ON customers (country, city);
CREATE UNIQUE INDEX products_sku_key ON products (sku);
CREATE INDEX products_tags_idx ON products USING gin (tags);
CREATE INDEX orders_customer_id_idx ON orders (customer_id);
CREATE INDEX orders_placed_at_idx ON orders (placed_at);
CREATE INDEX orders_open_idx ON orders (id) WHERE status IN ('pending', 'paid');
CREATE INDEX order_items_product_id_idx ON order_items (product_id);
CREATE UNIQUE INDEX payments_order_id_key ON payments (order_id);
CREATE INDEX payments_customer_id_idx ON payments (customer_id);
CREATE UNIQUE INDEX employees_email_key ON employees (lower(email));
CREATE INDEX audit_log_customer_id_idx ON audit_log (customer_id);

ALTER TABLE orders      ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE order_items ADD FOREIGN KEY (order_id)    REFERENCES orders ON DELETE CASCADE;
ALTER TABLE order_items ADD FOREIGN KEY (product_id)  REFERENCES products;
ALTER TABLE payments    ADD FOREIGN KEY (order_id)    REFERENCES orders;
ALTER TABLE payments    ADD FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE employees   ADD FOREIGN KEY (manager_id)  REFERENCES employees;

ALTER TABLE products    ADD CHECK (price > 0);
ALTER TABLE order_items ADD CHECK (quantity > 0);
ALTER TABLE orders      ADD CHECK (shipped_at >= placed_at);

-- Rows were loaded with ids of their own: the next one continues after them.
SELECT setval(pg_get_serial_sequence('customers', 'id'), (SELECT max(id) FROM customers)),
       setval(pg_get_serial_sequence('products', 'id'),  (SELECT max(id) FROM products)),
       setval(pg_get_serial_sequence('orders', 'id'),    (SELECT max(id) FROM orders)),
       setval(pg_get_serial_sequence('payments', 'id'),  (SELECT max(id) FROM payments)),
       setval(pg_get_serial_sequence('employees', 'id'), (SELECT max(id) FROM employees)),
       setval(pg_get_serial_sequence('audit_log', 'id'), (SELECT max(id) FROM audit_log));

CREATE VIEW customer_overview AS
    SELECT c.id,
           c.name,
           c.email AS contact,
           c.city,
           c.country,
           count(o.id)                 AS orders,
           coalesce(sum(o.total), 0)   AS spent,
           max(o.placed_at)            AS last_order_at
      FROM customers c
      LEFT JOIN orders o ON o.customer_id = c.id AND o.status <> 'cancelled'
     GROUP BY c.id;

CREATE MATERIALIZED VIEW daily_revenue AS
    SELECT (paid_at AT TIME ZONE 'UTC')::date AS day,
           currency,
           count(*)                           AS payments,
           sum(amount)                        AS revenue
      FROM payments
     WHERE status = 'captured'
     GROUP BY 1, 2;
CREATE UNIQUE INDEX daily_revenue_key ON daily_revenue (day, currency);

-- An SQL function: the planner may inline it, so the column is visible in its body.
CREATE FUNCTION customer_email(customer integer) RETURNS text
    LANGUAGE sql STABLE
    AS $$ SELECT c.email FROM customers c WHERE c.id = customer $$;

-- A function that nobody can look through from outside: procedural, with its owner's rights.
CREATE FUNCTION last_card(customer integer) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp
    AS $$
DECLARE
    found_number text;
BEGIN
    SELECT p.card_number INTO found_number
      FROM payments p
     WHERE p.customer_id = customer AND p.card_number IS NOT NULL
     ORDER BY p.paid_at DESC NULLS LAST, p.id DESC
     LIMIT 1;
    RETURN found_number;
END
$$;

COMMENT ON TABLE customers   IS 'People who have an account in the shop. Personal data.';
COMMENT ON TABLE products    IS 'What the shop sells.';
COMMENT ON TABLE orders      IS 'One row for each order, whatever became of it.';
COMMENT ON TABLE order_items IS 'The products of an order, at the price of that day.';
COMMENT ON TABLE payments    IS 'Payments by card or bank transfer. Card data.';
COMMENT ON TABLE employees   IS 'Staff with salaries. Confidential.';
COMMENT ON TABLE audit_log   IS 'What staff and services did with customer data, by year.';
COMMENT ON COLUMN customers.national_id   IS 'Tax or identity number, as the customer gave it.';
COMMENT ON COLUMN payments.card_number    IS 'Full number; NULL for bank transfers.';
COMMENT ON COLUMN order_items.line_total  IS 'quantity * price, computed by the server.';
COMMENT ON VIEW customer_overview         IS 'Customers with their orders counted and summed.';
COMMENT ON MATERIALIZED VIEW daily_revenue IS 'Captured payments by day and currency; refresh nightly.';
COMMENT ON FUNCTION customer_email(integer) IS 'E-mail address of a customer.';
COMMENT ON FUNCTION last_card(integer)      IS 'Card number of the newest card payment of a customer.';
