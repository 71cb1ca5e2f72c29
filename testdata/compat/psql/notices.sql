-- Notices of all levels, before, between and after rows.
create schema compat; set search_path = compat, public;
do $$ begin raise debug 'debug'; raise log 'log'; raise info 'info'; raise notice 'notice'; raise warning 'warning'; end $$;
set client_min_messages = debug1;
do $$ begin raise debug 'debug'; raise log 'log'; raise info 'info'; raise notice 'notice'; raise warning 'warning'; end $$;
set client_min_messages = error;
do $$ begin raise info 'info'; raise notice 'notice'; raise warning 'warning'; end $$;
reset client_min_messages;
do $$ begin raise notice 'with all' using detail = 'a detail', hint = 'a hint', errcode = '01P42'; end $$;
\set VERBOSITY verbose
do $$ begin raise warning 'with all' using detail = 'a detail', hint = 'a hint', errcode = '01P42', table = 't', column = 'c'; end $$;
\set VERBOSITY default
drop table if exists nowhere;
create table if not exists t (id serial primary key); create table if not exists t (id int);
create function noisy(i int) returns int language plpgsql as $$ begin raise notice 'row %', i; return i; end $$;
select noisy(i) from generate_series(1, 5) i;
select noisy(i) from generate_series(1, 500) i \g | md5sum
select noisy(i) / (3 - i) from generate_series(1, 5) i;
do $$ begin for i in 1..200 loop raise notice 'line % %', i, repeat('x', 100); end loop; end $$;
do $$ begin raise notice '%', repeat('long ', 20000); end $$;
do $$ begin raise notice E'two\nlines'; raise notice 'ünïcödé ☃'; raise notice '%%'; raise notice ''; end $$;
create table c (id int) inherits (t); drop table t; drop table t cascade;
vacuum nowhere; begin; vacuum; rollback;
truncate only nowhere;
set client_min_messages = notice;
begin; begin; commit; commit;
drop schema compat cascade;
