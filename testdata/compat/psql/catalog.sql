-- What psql asks the catalog.
\d
\dt
\dt+ customers
\d customers
\d+ orders
\d payments
\d audit_log
\d+ audit_log
\d audit_log_2024
\d nowhere
\di
\di+ customers*
\ds
\dv
\dm
\d+ order_status
\dT
\dT+
\dD
\df
\df+
\dn
\dn+
\dp customers
\z orders
\du
\dg postgres
\dx
\dy
\dO
\dC date
\do || text
\dF
\dL
\des
\dRp
\db
\dc latin1*
\dd
\ddp
\drds
\dl
\dX
\dP
\dPt
\dA
\dAc btree int4
\dconfig work_mem
\l template0
\sf nowhere
\sv nowhere
\dt public.*
\dt *.customers
\dt pg_catalog.pg_cl*
\d pg_class
\dS pg_cl*
\dfS lower
\daS sum
\encoding
select oid::regclass, relkind from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') order by 1::text;
select table_name, column_name, data_type, is_nullable from information_schema.columns where table_schema = 'public' order by table_name, ordinal_position \g | md5sum
select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'customers'::regclass and attnum > 0 order by attnum;
select has_table_privilege('customers', 'select'), pg_get_viewdef(c.oid) is not null from pg_class c where relkind = 'v' and relnamespace = 'public'::regnamespace order by c.relname limit 2;
