-- COPY in every direction and format.
create schema compat; set search_path = compat, public;
create table t (id int, name text, n numeric, b bytea, a text[], at timestamptz);
copy t from stdin;
1	one	1.10	\\x01	{a,b}	2024-01-01 00:00:00+00
2	two with \t tab and \\ backslash	\N	\N	{"x y",NULL}	\N
3	line\nbreak	3	\\x	{}	infinity
\.
copy t (id, name) from stdin with (format csv, header, null 'NULL', quote '''', delimiter ';');
id;name
4;'four; with delimiter'
5;NULL
6;'two
lines'
\.
copy t to stdout;
copy t to stdout with csv header;
copy t (id, name) to stdout with (format csv, header, force_quote *, null '~', delimiter '|');
copy t (name) to stdout with (delimiter ',', null '');
copy (select id, upper(name) from t where id < 3 order by id desc) to stdout;
copy (values (1, 'a'), (2, null)) to stdout with csv;
copy (insert into t (id, name) values (7, 'seven') returning id, name) to stdout;
copy (select 1 where false) to stdout;
copy (select) to stdout;
\copy t (id, name) to stdout csv
\copy (select id from t order by id limit 2) to stdout
\copy t to '/dev/null'
\copy t (id, name) from program 'printf "8\teight\n9\tnine\n"'
\copy (select generate_series(1, 5)) to program 'cat'
\copy t (id) from '/no/such/file'
\copy nowhere to stdout
copy t (id) from stdin;
10
not a number
12
\.
select count(*) from t where id >= 10;
copy t (id, name) from stdin;
10
\.
copy t (id, name) from stdin;
10	a	too many
\.
copy t (id, nope) from stdin;
copy t from stdin with (format nonsense);
copy t (id) from stdin where id > 10;
10
11
12
\.
select id from t where id >= 10 order by id;
begin;
copy t (id) from stdin;
20
\.
select 1/0;
copy t (id) from stdin;
21
\.
rollback;
begin;
copy t (id) from stdin;
bad
\.
select 'refused';
rollback;
select count(*) from t where id >= 20;
select 'before'\; copy t (id) to stdout\; select 'after';
select 'before'\; copy t (id) from stdin\; select 'after';
30
31
\.
copy t (id) from stdin\; copy t (id, name) from stdin;
40
\.
41	forty-one
\.
select id, name from t where id >= 30 order by id;
copy t (id) from stdin\; select 1/0\; copy t (id) from stdin;
50
\.
select count(*) from t where id >= 50;
-- Binary, whose bytes are compared by their digest.
\copy (select id, name, n, b, a from t order by id, name) to program 'md5sum' binary
create table u (like t);
\! rm -rf /tmp/sallyport-compat.bin
\copy t to '/tmp/sallyport-compat.bin' binary
\copy u from '/tmp/sallyport-compat.bin' binary
\! rm -f /tmp/sallyport-compat.bin
select (select count(*) from t) = (select count(*) from u) as same, (select md5(string_agg(t::text, '' order by id, name)) from t) = (select md5(string_agg(u::text, '' order by id, name)) from u) as equal;
\copy u (id) from program 'printf garbage' binary
-- Much of it.
\copy (select i, 'row ' || i, i * 1.5 from generate_series(1, 50000) i) to program 'md5sum'
create table big (i int, s text);
\copy big from program 'seq 1 50000 | sed "s/$/\\ttext of the row/"'
select count(*), sum(i), min(s), max(s) from big;
copy (select repeat('w', 3000000) from generate_series(1, 3)) to program 'true';
\copy (select repeat('w', 3000000) from generate_series(1, 3)) to program 'md5sum'
truncate big;
\copy big (s) from program 'head -c 5000000 /dev/zero | tr "\\0" z'
select length(s) from big;
begin; truncate big; copy big from stdin with (freeze);
1	frozen
\.
commit;
table big;
copy big from stdin;
\.
create view v as select id from t;
copy v to stdout;
copy v from stdin;
create function before_row() returns trigger language plpgsql as $$ begin raise notice 'row %', new.i; return new; end $$;
create trigger tr before insert on big for each row execute function before_row();
copy big from stdin;
100	x
101	y
\.
drop schema compat cascade;
