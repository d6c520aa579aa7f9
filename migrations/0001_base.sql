-- Base schema of the notification service.
--
-- The three indexes of `nsys tune db --indexes` are left out on purpose: that step is to have a
-- measurable effect. Columns are snake_case; the API's camelCase lives in the service.

CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text NOT NULL,
    name          text NOT NULL,
    password_hash text NOT NULL,
    role          text NOT NULL DEFAULT 'USER' CHECK (role IN ('USER', 'OPERATOR', 'ADMIN')),
    tenant_id     text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
-- Addresses are compared without case.
CREATE UNIQUE INDEX users_email_key ON users (lower(email));

CREATE TABLE notifications (
    id              uuid PRIMARY KEY,
    user_id         text NOT NULL,
    tenant_id       text,
    channel         text NOT NULL,
    type            text NOT NULL,
    priority        text NOT NULL,
    status          text NOT NULL,
    payload         jsonb NOT NULL,
    scheduled_for   timestamptz,
    expires_at      timestamptz,
    sent_at         timestamptz,
    failed_at       timestamptz,
    next_attempt_at timestamptz,
    retry_count     integer NOT NULL DEFAULT 0,
    error_message   text,
    idempotency_key text,
    request_hash    text,
    correlation_id  text,
    causation_id    text,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
) WITH (fillfactor = 85);

-- Decides idempotency. A missing tenant counts as one tenant; rows without a key never collide.
CREATE UNIQUE INDEX notifications_tenant_id_idempotency_key_key
    ON notifications (tenant_id, idempotency_key) NULLS NOT DISTINCT
    WHERE idempotency_key IS NOT NULL;

-- What the scheduler looks for: scheduled, retrying, and leases of workers that died.
CREATE INDEX notifications_next_attempt_at_idx ON notifications (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

CREATE TABLE events (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id uuid NOT NULL,
    status          text NOT NULL,
    detail          text,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_notification_id_idx ON events (notification_id, id);

CREATE TABLE delivery_attempts (
    notification_id uuid NOT NULL,
    attempt         integer NOT NULL,
    provider        text NOT NULL,
    outcome         text NOT NULL,
    error           text,
    duration_ms     double precision NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (notification_id, attempt)
);

CREATE TABLE dead_letters (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id uuid,
    reason          text NOT NULL,
    error           text NOT NULL,
    raw             bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
