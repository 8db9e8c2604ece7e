-- Two roles and a database for Heed, for psql as a superuser, once:
--
--   OWNER_PASSWORD=… GATEWAY_PASSWORD=… psql -v ON_ERROR_STOP=1 -f docs/deploy/roles.sql
--
-- heed_owner owns the tables and brings them up to date: `heed migrate` runs as heed_owner, and nothing else does.
-- heed_gateway is what `heed serve` runs as: it reads and writes rows, and can change, empty or drop no table.
\getenv owner_password OWNER_PASSWORD
\getenv password GATEWAY_PASSWORD
CREATE ROLE heed_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE heed_gateway LOGIN PASSWORD :'password';
CREATE DATABASE heed OWNER heed_owner;
REVOKE ALL ON DATABASE heed FROM PUBLIC;
GRANT CONNECT ON DATABASE heed TO heed_gateway;
\connect heed
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO heed_gateway;
-- For every table that heed_owner makes from now on, those of later versions too.
ALTER DEFAULT PRIVILEGES FOR ROLE heed_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO heed_gateway;
ALTER DEFAULT PRIVILEGES FOR ROLE heed_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO heed_gateway;
