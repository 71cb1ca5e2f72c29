\set VERBOSITY verbose
PREPARE foo AS SELECT 'clear'::text;
DO $$ BEGIN EXECUTE 'DEALLOCATE foo'; EXECUTE 'PREPARE foo AS SELECT ''secret''::text'; END $$;
EXECUTE foo;
BEGIN;
DECLARE c CURSOR FOR SELECT 'clear'::text;
DO $$ DECLARE c refcursor := 'c'; BEGIN CLOSE c; OPEN c FOR SELECT 'secret'::text; END $$;
FETCH c;
COMMIT;
DECLARE c CURSOR FOR SELECT 1 \; FETCH ALL c;
SET LOCAL work_mem='1MB' \; SHOW work_mem;
LOCK TABLE customers \; SELECT 1;
SELECT 1\; SAVEPOINT a \; SELECT 2;
