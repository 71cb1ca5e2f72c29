-- Much, long, wide.
\pset format unaligned
select i, md5(i::text), null, i / 7.0 from generate_series(1, 50000) i \g | md5sum
select repeat('x', 1000000) as wide, repeat('ü', 1000000) \g | md5sum
select repeat('0123456789', 500000) \g | md5sum
select repeat(E'\\001', 100)::bytea, decode(repeat('ff', 3000000), 'hex') \g | md5sum
select string_agg('select ' || n || ' as c' || n, ', ') is not null from generate_series(1, 10) n;
select 'select ' || string_agg(n::text || ' as c' || n, ', ') as query from generate_series(1, 1600) n \gset
:query \g | md5sum
select 'select ' || string_agg(n::text, ', ') as query from generate_series(1, 1665) n \gset
:query;
select 'select count(*) from customers where id in (' || string_agg(n::text, ', ') || ')' as query from generate_series(1, 5000) n \gset
:query;
select 'select length(''' || repeat('long text ', 50000) || ''')' as query \gset
:query;
select 'select 1' || repeat(' + 1', 800) || ' as sum' as query \gset
:query;
select string_agg('select ' || n, '; ') as query from generate_series(1, 300) n \gset
select string_agg('select ' || n || ' as n', ' union all ') as query from generate_series(1, 300) n \gset
:query \g | md5sum
select array_agg(i) from generate_series(1, 20000) i \g | md5sum
select jsonb_agg(jsonb_build_object('i', i, 't', repeat('t', 50))) from generate_series(1, 5000) i \g | md5sum
select c.*, o.*, p.* from customers c join orders o on o.customer_id = c.id join payments p on p.order_id = o.id order by c.id, o.id, p.id \g | md5sum
select from generate_series(1, 1000);
select '' from generate_series(1, 3000) \g | md5sum
