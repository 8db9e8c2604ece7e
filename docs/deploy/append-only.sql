-- What is only ever added to cannot be changed by the role that serves. For psql as heed_owner or a superuser, once,
-- after the first `heed migrate`:
--
--   psql -v ON_ERROR_STOP=1 -d heed -f docs/deploy/append-only.sql
--
-- Erasing a patient drops what an event of the ledger says and leaves its row: so of the ledger this one column may change.
REVOKE UPDATE, DELETE ON ledger, audit, seals, policies FROM heed_gateway;
GRANT UPDATE (sealed) ON ledger TO heed_gateway;
