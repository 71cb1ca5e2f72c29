-- Large objects through SQL; psql's own \lo_ commands call functions by another way.
begin;
select lo_create(987654321);
select lo_open(987654321, 393216) as fd \gset
select lowrite(:fd, 'large object'::bytea), lo_tell(:fd), lo_lseek(:fd, 6, 0), loread(:fd, 100), lo_close(:fd);
commit;
select lo_get(987654321), lo_get(987654321, 0, 5), lo_put(987654321, 0, 'LARGE');
select convert_from(lo_get(987654321), 'UTF8');
select loid, pageno, data from pg_largeobject where loid = 987654321;
begin; select lo_open(987654321, 262144) as fd \gset
select lo_truncate(:fd, 3); select lowrite(:fd, 'x'); rollback;
comment on large object 987654321 is 'a comment';
grant select on large object 987654321 to public;
select lo_unlink(987654321);
select lo_unlink(987654321);
select lo_from_bytea(987654322, '\x0102'); select lo_get(987654322); select lo_unlink(987654322);
select lo_open(987654322, 262144);
select loread(99, 10);
