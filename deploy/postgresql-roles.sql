-- Two roles: one owns the schema and migrates it, the other only reads and writes rows.
-- Run once as a superuser, with passwords of your own:
--   psql -v owner_password=… -v service_password=… -f deploy/postgresql-roles.sql
-- WATCHWORD_MIGRATE_DATABASE_URL then names watchword_owner, WATCHWORD_DATABASE_URL watchword.
CREATE ROLE watchword_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE watchword LOGIN PASSWORD :'service_password';
CREATE DATABASE watchword OWNER watchword_owner;

-- What the service sets on each connection by itself. A connection pooler in transaction mode may
-- hand out connections on which it did not; the role's own settings hold on all of them.
ALTER ROLE watchword SET synchronous_commit = 'on';
ALTER ROLE watchword SET lock_timeout = '200ms';
ALTER ROLE watchword SET statement_timeout = '1500ms';
ALTER ROLE watchword SET idle_in_transaction_session_timeout = '10s';
