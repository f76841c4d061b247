//! The tables of an agent host's databases in each generation, in our own words.

/// What the host has written over time, oldest first. Session databases of the first lack what came in April 2026.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Generation {
    BeforeApril,
    A,
    B,
    C,
}

pub(crate) const GENERATIONS: [Generation; 4] = [Generation::BeforeApril, Generation::A, Generation::B, Generation::C];

/// Names of migrations in the order in which they were applied.
const MIGRATIONS: [&str; 14] = [
    "initial-v2-schema",
    "chat-sdk-state",
    "pending-approvals",
    "agent-destinations",
    "pending-approvals-title-options",
    "dropped-messages",
    "drop-pending-credentials",
    "engage-modes",
    "pending-sender-approvals",
    "channel-registration",
    "approval-render-metadata",
    "container-configs",
    "cli-scope",
    "host-coordination",
];

const CENTRAL: &str = "
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied TEXT NOT NULL);
CREATE UNIQUE INDEX schema_version_by_name ON schema_version (name);
CREATE TABLE agent_groups (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, folder TEXT NOT NULL UNIQUE, agent_provider TEXT, created_at TEXT NOT NULL);
CREATE TABLE messaging_groups (
    id TEXT PRIMARY KEY, channel_type TEXT NOT NULL, platform_id TEXT NOT NULL, name TEXT, is_group INTEGER DEFAULT 0,
    unknown_sender_policy TEXT NOT NULL DEFAULT 'strict', created_at TEXT NOT NULL, denied_at TEXT,
    UNIQUE (channel_type, platform_id));
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, agent_group_id TEXT NOT NULL REFERENCES agent_groups (id),
    messaging_group_id TEXT REFERENCES messaging_groups (id), thread_id TEXT, agent_provider TEXT,
    status TEXT DEFAULT 'active', container_status TEXT DEFAULT 'stopped', last_active TEXT, created_at TEXT NOT NULL);
CREATE INDEX idx_sessions_agent_group ON sessions (agent_group_id);
CREATE INDEX idx_sessions_lookup ON sessions (messaging_group_id, thread_id);
CREATE TABLE pending_questions (id TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions (id));
";

const CENTRAL_SINCE_B: &str = "
CREATE TABLE container_configs (
    agent_group_id TEXT PRIMARY KEY REFERENCES agent_groups (id) ON DELETE CASCADE, provider TEXT, model TEXT, effort TEXT,
    image_tag TEXT, assistant_name TEXT, max_messages_per_prompt INTEGER, skills TEXT, mcp_servers TEXT, packages_apt TEXT,
    packages_npm TEXT, additional_mounts TEXT, updated_at TEXT, cli_scope TEXT);
";

const CENTRAL_SINCE_C: &str = "
CREATE TABLE host_instances (
    instance_id TEXT PRIMARY KEY, install_id TEXT NOT NULL, hostname TEXT, pid INTEGER, started_at TEXT,
    lease_expires_at TEXT, stopped_at TEXT);
CREATE TABLE session_claims (
    session_id TEXT PRIMARY KEY, incarnation INTEGER NOT NULL DEFAULT 0, claimed_by TEXT, claimed_at TEXT,
    container_ref TEXT, stop_intent TEXT, updated_at TEXT NOT NULL);
CREATE TABLE delivery_attempts (
    message_id TEXT PRIMARY KEY, session_id TEXT, attempts INTEGER, last_attempt_at TEXT, next_attempt_at TEXT,
    last_error TEXT);
CREATE TABLE wake_signals (
    id TEXT PRIMARY KEY, session_id TEXT, reason TEXT, created_at TEXT, consumed_at TEXT, consumed_by TEXT);
";

const OUTBOUND: &str = "
CREATE TABLE messages_out (
    id TEXT PRIMARY KEY, seq INTEGER UNIQUE, in_reply_to TEXT, timestamp TEXT NOT NULL, deliver_after TEXT,
    recurrence TEXT, kind TEXT NOT NULL, platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL);
CREATE TABLE processing_ack (message_id TEXT PRIMARY KEY, status TEXT NOT NULL, status_changed TEXT NOT NULL);
";

const OUTBOUND_SINCE_A: &str = "
CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE container_state (
    id INTEGER PRIMARY KEY CHECK (id = 1), current_tool TEXT, tool_declared_timeout_ms INTEGER, tool_started_at TEXT,
    updated_at TEXT NOT NULL);
";

const OUTBOUND_SINCE_C: &str = "
CREATE TABLE token_usage_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT, task_series_id TEXT, prompt_preview TEXT, prompt_chars INTEGER,
    input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, cache_creation_tokens INTEGER, cost_usd REAL);
";

impl Generation {
    /// The central database.
    pub(crate) fn central(self) -> String {
        let mut schema = CENTRAL.to_owned();
        schema += if self >= Self::B { CENTRAL_SINCE_B } else { "" };
        schema += if self >= Self::C { CENTRAL_SINCE_C } else { "" };
        schema
    }

    /// The migrations that such a host has applied.
    pub(crate) fn migrations(self) -> &'static [&'static str] {
        match self {
            Self::BeforeApril | Self::A => &MIGRATIONS[..7],
            Self::B => &MIGRATIONS[..13],
            Self::C => &MIGRATIONS,
        }
    }

    /// A session's database of what comes in.
    pub(crate) fn inbound(self) -> String {
        let since = |generation: Self, text: &'static str| if self >= generation { text } else { "" };
        [
            "CREATE TABLE messages_in (id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
             status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0, platform_id TEXT,
             channel_type TEXT, thread_id TEXT, content TEXT NOT NULL",
            // Added one by one, as the host did.
            since(Self::A, ", series_id TEXT, trigger INTEGER NOT NULL DEFAULT 1"),
            since(Self::B, ", source_session_id TEXT, on_wake INTEGER NOT NULL DEFAULT 0"),
            ");",
            since(Self::A, "CREATE INDEX idx_messages_in_series ON messages_in (series_id);"),
            since(Self::C, "CREATE INDEX messages_in_of_triggers ON messages_in (seq) WHERE trigger = 1;"),
            "CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY",
            since(Self::A, ", platform_message_id TEXT, status TEXT NOT NULL DEFAULT 'delivered'"),
            ", delivered_at TEXT NOT NULL);",
            since(
                Self::A,
                "CREATE TABLE destinations (name TEXT PRIMARY KEY, display_name TEXT, type TEXT NOT NULL, channel_type TEXT,
                 platform_id TEXT, agent_group_id TEXT);
                 CREATE TABLE session_routing (id INTEGER PRIMARY KEY CHECK (id = 1), channel_type TEXT, platform_id TEXT,
                 thread_id TEXT);",
            ),
        ]
        .concat()
    }

    /// A session's database of what goes out.
    pub(crate) fn outbound(self) -> String {
        let mut schema = OUTBOUND.to_owned();
        schema += if self >= Self::A { OUTBOUND_SINCE_A } else { "" };
        schema += if self >= Self::C { OUTBOUND_SINCE_C } else { "" };
        schema
    }
}
