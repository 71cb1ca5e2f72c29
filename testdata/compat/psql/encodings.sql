-- Texts of all sorts, in the encoding that client and server agree on.
\encoding
select 'äöü ÄÖÜ ß' as german, 'Ελληνικά' as greek, 'עברית' as hebrew, '日本語' as japanese, '😀' as emoji, E'\u200b' as zero_width;
select length('äöü'), octet_length('äöü'), char_length('😀'), octet_length('😀'), upper('äöü'), initcap('çelik');
select 'ﬁ' ilike 'FI', 'é' = E'e\u0301', normalize(E'e\u0301') = 'é';
select ascii('€'), chr(8364), chr(128512);
select convert_to('äöü', 'LATIN1'), convert_from('\xe4f6fc', 'LATIN1'), convert('\xe4f6fc'::bytea, 'LATIN1', 'UTF8');
select convert_to('😀', 'LATIN1');
create temp table "Tabelle mit Ümläuten" ("Größe" int, "名前" text);
insert into "Tabelle mit Ümläuten" values (1, '太郎'), (2, E'tab\there');
select "Größe", "名前" from "Tabelle mit Ümläuten" order by 1;
select "Grösse" from "Tabelle mit Ümläuten";
\d "Tabelle mit Ümläuten"
select E'\xe4'::text;
select E'\\' as backslash, '\' as also, E'\101' as octal, E'\x41' as hex;
select U&'d\0061t\+000061' as data, U&'d!0061t!+000061' uescape '!' as also, U&"d\0061t\0061" from (select 1 as data) x;
select U&'\D83D\DE00' as pair, U&'\D83D';
select quote_literal(E'a\\b''c'), quote_ident('Ü'), format('%I %L', 'a b', 'ü''');
\set name 'Pádraig'
select :'name' as literal, :'name' = 'Pádraig' as same;
copy (select 'äöü', E'a\tb', E'\b\f\v') to stdout;
select repeat('ä', 10)::varchar(5), rpad('ä', 3, 'ö'), 'äöü'::char(5) || '|';
