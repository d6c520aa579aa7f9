-- Endpoints: receivers of webhooks that tenants register, what their attempts did, replays.

-- An empty tenant stands for none, so that the primary key holds for it too.
CREATE TABLE webhook_endpoints (
    tenant_id             text NOT NULL DEFAULT '',
    id                    uuid NOT NULL,
    url                   text NOT NULL,
    description           text NOT NULL DEFAULT '',
    -- Empty: every type.
    event_types           text[] NOT NULL DEFAULT '{}',
    header_names          text[] NOT NULL DEFAULT '{}',
    -- Its secrets and the values of its headers, encrypted with the key of this id.
    sealed                bytea NOT NULL,
    key_id                text NOT NULL,
    previous_secret_until timestamptz,
    failing_since         timestamptz,
    disabled_at           timestamptz,
    disabled_reason       text,
    version               integer NOT NULL DEFAULT 1,
    created_by            text NOT NULL,
    -- The account that is told when it is disabled.
    owner_id              text,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

-- The latest attempts at each endpoint, with the beginning of what it answered.
CREATE TABLE webhook_attempts (
    tenant_id       text NOT NULL,
    endpoint_id     uuid NOT NULL,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    notification_id uuid NOT NULL,
    -- The `webhook-id`: the same in every delivery of one event.
    message_id      uuid NOT NULL,
    attempt         integer NOT NULL,
    started_at      timestamptz NOT NULL,
    duration_ms     real NOT NULL,
    -- NULL when there was no answer.
    status          smallint,
    error           text,
    answer          text,
    PRIMARY KEY (tenant_id, endpoint_id, id)
);
CREATE INDEX webhook_attempts_started_at_brin ON webhook_attempts USING brin (started_at) WITH (pages_per_range = 32);
