-- Errors with all their fields.
\set VERBOSITY verbose
create schema compat; set search_path = compat, public;
create domain positive as int check (value > 0);
create table parent (id int primary key, name text not null unique, age int constraint grown check (age >= 18));
create table child (id int primary key, parent_id int references parent, p positive);
insert into parent values (1, 'one', 18);
select 1/0;
select nothing from parent;
select missing.id from parent;
select * from nowhere;
select no_such_function(1);
select 'abc'::int;
select 300::"char"::int, 70000::int2;
select '2024-02-30'::date;
select 'x'::positive;
select (-1)::positive;
insert into parent values (1, 'two', 20);
insert into parent values (2, 'one', 20);
insert into parent values (3, null, 20);
insert into parent values (4, 'four', 4);
insert into child values (1, 99, 1);
insert into child values (2, 1, 0);
insert into child (id, nope) values (1, 2);
insert into parent values (1);
delete from parent;
insert into child values (1, 1, 1);
delete from parent where id = 1;
update parent set name = null where id = 1;
select * from parent where id = (select n from generate_series(1, 2) n);
select array[1, 2] || 'x';
select sum(name) from parent;
select name, count(*) from parent;
select 1 union select 'x';
create table parent (id int);
drop table nowhere;
drop table parent;
do $$ begin raise exception 'custom % message', 42 using errcode = 'P4242', detail = 'a detail', hint = 'a hint', column = 'c', constraint = 'k', datatype = 'dt', table = 't', schema = 's'; end $$;
create function inner_one(i int) returns int language plpgsql as $$ begin return 1 / i; end $$;
create function outer_one(i int) returns int language plpgsql as $$ declare r int; begin r := inner_one(i); return r; end $$;
select outer_one(0);
select outer_one(n) from generate_series(2, 0, -1) n;
create function in_sql(i int) returns int language sql as 'select outer_one(i)';
select in_sql(0);
create function broken() returns int language sql as 'select * from nowhere';
create function broken() returns int language plpgsql as $$ begin retrn 1; end $$;
do $$ begin perform 1/0; exception when division_by_zero then raise notice 'caught: %', sqlerrm; end $$;
do $$ begin raise; end $$;
do $$ begin assert false, 'an assertion'; end $$;
select 1\; select 1/0\; select 3;
set statement_timeout = '50ms'; select pg_sleep(10); reset statement_timeout;
select pg_cancel_backend(pg_backend_pid());
select 'unterminated;
';
select "unterminated identifier from parent;
";
select 'position
over
lines' as x, nowhere;
select 'ünïcödé before the error', nowhere;
grant select on nowhere to public;
alter table parent add column id int;
set no_such_setting = 1;
set work_mem = 'much';
show no_such_setting;
explain select * from nowhere;
select * from parent for update of nowhere;
lock table nowhere;
copy nowhere from stdin;
fetch nowhere;
close nowhere;
deallocate nowhere;
release nowhere;
select lo_open(4000000000::oid, 131072);
select convert_from('\xff'::bytea, 'UTF8');
select chr(0);
select repeat('x', 1100000000);
select pg_read_file('/etc/hostname');
copy parent to '/tmp/never-written';
copy parent from program 'true';
\errverbose
\set VERBOSITY default
selec 1;
select * frm parent;
select 1\; select * frm parent\; select 2;
execute nowhere;
\set VERBOSITY terse
select 1/0;
insert into parent values (1, 'two', 20);
\set VERBOSITY sqlstate
select 1/0;
\set VERBOSITY default
\set SHOW_CONTEXT always
do $$ begin raise notice 'with context'; end $$;
\set SHOW_CONTEXT never
select outer_one(0);
drop schema compat cascade;
