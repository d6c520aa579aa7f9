-- Lists: each is a walk along an index that begins with the tenant, so that no list costs more because of
-- what other tenants have stored.
--
-- Ascending, although lists are newest first: an index is read backwards at the same price, and PostgreSQL keeps
-- its pages full where each group grows at its end.
-- `nsys db migrate` builds these beforehand, concurrently, on tables that are in use; then there is nothing
-- left to do here. Whoever applies this file by hand on a large table does the same.

-- Never waits long for a lock: others would wait behind it.
SET LOCAL lock_timeout = '10s';

CREATE INDEX IF NOT EXISTS notifications_tenant_created_idx ON notifications (tenant_id, created_at, id);
CREATE INDEX IF NOT EXISTS notifications_tenant_user_idx ON notifications (tenant_id, user_id, created_at, id);
CREATE INDEX IF NOT EXISTS notifications_tenant_correlation_idx
    ON notifications (tenant_id, correlation_id, created_at, id) WHERE correlation_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS dead_letters_tenant_idx ON dead_letters (tenant_id, id);
CREATE INDEX IF NOT EXISTS audit_log_tenant_idx ON audit_log (tenant_id, id);
CREATE INDEX IF NOT EXISTS users_tenant_idx ON users (tenant_id, id);
CREATE INDEX IF NOT EXISTS api_keys_tenant_idx ON api_keys (tenant_id, created_at);
