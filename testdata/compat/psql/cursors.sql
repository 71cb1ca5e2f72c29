-- Cursors, by hand and by psql.
create schema compat; set search_path = compat, public;
create table t as select i as id, 'row ' || i as name from generate_series(1, 1000) i;
declare c cursor for select 1;
begin;
declare c scroll cursor for select id, name from t order by id;
fetch c; fetch 3 from c; fetch backward 2 from c; fetch absolute 500 from c; fetch relative -10 from c; fetch first from c; fetch last from c; fetch prior from c; fetch forward all from c; fetch 0 from c;
move backward 5 from c; fetch next from c;
move absolute 10 in c;
fetch all from c \g | md5sum
close c;
fetch c;
rollback;
begin;
declare c no scroll cursor for select id from t order by id;
fetch 2 from c; fetch prior from c;
rollback;
begin;
declare held cursor with hold for select id, name from t where id <= 5 order by id;
commit;
fetch 2 from held; fetch all from held;
select name, statement, is_holdable, is_binary, is_scrollable from pg_cursors order by name;
close held;
close all;
begin;
declare bin binary cursor for select 258, 'text', null::int;
fetch bin;
declare u cursor for select * from t where id in (1, 2) order by id for update;
fetch 1 from u;
update t set name = 'changed' where current of u;
fetch 1 from u;
delete from t where current of u;
commit;
select * from t where id <= 2 order by id;
create function gives() returns refcursor language plpgsql as $$ declare r refcursor := 'named'; begin open r for select id from t where id <= 4 order by id; return r; end $$;
begin; select gives(); fetch all in named; commit;
\set FETCH_COUNT 100
select id, name from t order by id limit 250 \g | md5sum
select id from t order by id limit 3;
select 1/(5 - id) from t where id > 2 order by id;
insert into t values (5000, 'x') returning id, name;
select id, name from t where false;
begin; select id from t order by id limit 205 \g | md5sum
select 1/0;
select id from t;
rollback;
select 1\; select 2;
with w as (select 1 as a) select * from w;
values (1), (2);
\pset format unaligned
select id from t order by id limit 101 \g | md5sum
\set FETCH_COUNT 0
drop schema compat cascade;
