-- LISTEN and NOTIFY. Process numbers differ from run to run and are left out of the comparison.
listen news; listen "Other News";
notify news;
notify news, 'with payload';
select pg_notify('Other News', 'by function');
notify unheard, 'nobody listens';
begin; notify news, 'first'; notify news, 'second'; notify news, 'second'; select 'not yet'; commit;
begin; notify news, 'never'; rollback;
select 1\; notify news, 'in several'\; select 2;
select pg_listening_channels() order by 1;
unlisten news;
notify news, 'not heard'; notify "Other News", 'heard';
unlisten *;
notify "Other News", 'not heard';
select pg_notify('', 'x');
select pg_notify('c', repeat('x', 8000));
begin; listen late; notify late, 'own'; commit;
select 'next';
unlisten *;
