-- What psql itself makes of statements: variables, describe without running, generated statements.
select 41 + 1 as answer, 'it''s' as quoted \gset
\echo :answer :'quoted' :"quoted"
select :answer as again, :'quoted' as literal;
select id, name from customers order by id limit 1 \gset customer_
\echo :customer_id :customer_name
select 1, 2 \gset bad_
select where false \gset none_
select 'select ' || n || ' as generated' from generate_series(1, 3) n \gexec
select 'select 1/' || n from generate_series(1, -1, -1) n \gexec
select null, 'select 5' \gexec
select id, name, email, total::numeric(12,2) from (select c.id, c.name, c.email, 1.0 as total from customers c) x \gdesc
select \gdesc
select $1::int, $2::text \gdesc
create table never (i int) \gdesc
select * from missing \gdesc
select c.country, o.status, count(*) from customers c join orders o on o.customer_id = c.id where c.country in ('DE', 'FR') group by 1, 2 order by 1, 2 \crosstabview
select 1 as one \g (format=unaligned)
select 1 as one \gx
\if :{?customer_id}
\echo defined
\else
\echo undefined
\endif
\set n 5
\if :n
select 'no boolean';
\endif
\set ON_ERROR_STOP off
select 1/0;
\echo :ERROR :SQLSTATE :LAST_ERROR_SQLSTATE :LAST_ERROR_MESSAGE
select 2;
\echo :ERROR :SQLSTATE :ROW_COUNT
\set ECHO_HIDDEN off
\set SHOW_ALL_RESULTS off
select 1\; select 2\; select 3;
\set SHOW_ALL_RESULTS on
select 1\; select 2\; select 3;
\set SINGLELINE on
select 1 as singleline
\set SINGLELINE off
select 1 as x, 2 as y \g /dev/null
select 3 as z;
\o /dev/null
select 4 as hidden;
\o
select 5 as visible;
select 'piped' as p \g | cat
\p
\r
select 6
\g
\timing off
\encoding
\qecho done
