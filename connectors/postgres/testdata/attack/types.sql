-- Types and domains of columns change.
CREATE DOMAIN other_than AS text CHECK (VALUE <> '{customers.national_id}');
ALTER TABLE customers ALTER national_id TYPE other_than;

CREATE DOMAIN d AS text;
ALTER TABLE customers ALTER national_id TYPE d;
ALTER DOMAIN d ADD CHECK (VALUE <> '{customers.national_id}');

CREATE DOMAIN d AS text;
ALTER TABLE customers ALTER phone TYPE d;
ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE <> '{customers.phone}') NOT VALID;
ALTER DOMAIN d VALIDATE CONSTRAINT c;

ALTER DOMAIN email_address ADD CHECK (VALUE <> '{employees.email}');

