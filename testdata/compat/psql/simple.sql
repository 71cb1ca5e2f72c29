-- Simple queries: types, NULLs, ways to print, statements that are none.
\pset null '<null>'
select 1 as one, 'text' as two, null as three, true as four, 1.50 as five;
select;
select where false;
select 1 where false;
;
-- only a comment
/* another one */;
select 1; select 2; select 3;
select 'a;b' as "semi;colon", $$dollar ; quoted$$ as dollar, E'es\'caped\n' as escaped, U&'\0041' as unicode;
select '2024-02-29'::date d, '12:34:56.789'::time t, '2024-02-29 12:34:56.789+02'::timestamptz tz, interval '1 year 2 months 3 days 04:05:06' i;
select 'infinity'::float8, '-infinity'::timestamp, 'NaN'::numeric, 1e-300::float8, 123456789012345678901234567890.123456789::numeric;
select array[1,2,null,4] a, array[['x','y'],['z,w','"q"']] b, '{}'::int[] c, '[2:4]={1,2,3}'::int[] d;
select row(1, 'two', null) r, '{"a": [1, 2, {"b": null}]}'::jsonb j, '<a>b</a>'::xml is document x;
select '\xdeadbeef'::bytea b, b'1010' bits, '10.1.2.3/8'::inet i, '08:00:2b:01:02:03'::macaddr m, int4range(1, 5) r, '{[1,3),[7,9)}'::int4multirange mr;
select 'Ünïcödé ☃ 𝄞 漢字'::text as "Spalte mit Leerzeichen und Ümlaut";
select '' as empty, ' ' as blank, E'\t' as tab, E'line one\nline two' as lines;
values (1, 'a'), (2, 'b'), (3, null);
table customers limit 0;
select id, name, city from customers order by id limit 3;
\x on
select id, name, city from customers order by id limit 2;
\x off
\pset format unaligned
select id, name, city from customers order by id limit 3;
\pset tuples_only on
select id, name, city from customers order by id limit 3;
\pset format csv
select id, name, 'a,b"c' as quoted from customers order by id limit 3;
\pset format html
select id, name from customers order by id limit 2;
\pset format aligned
\pset tuples_only off
\pset border 2
select id, name from customers order by id limit 2;
\pset border 1
select generate_series(1, 3) as n, pg_typeof(1::int8);
select 1 as "same", 2 as "same";
select count(*), sum(total), min(placed_at), max(placed_at) from orders;
\echo :ROW_COUNT :ERROR :SQLSTATE
