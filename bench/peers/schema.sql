-- What both peers keep, in a database of their own; bench/contenders.py fills it with the same people, chatrooms and
-- messages that the service has.
CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    phone text NOT NULL UNIQUE,
    name text,
    email text,
    tier text NOT NULL DEFAULT 'basic',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id uuid NOT NULL REFERENCES users,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE TABLE chatrooms (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id uuid NOT NULL REFERENCES users,
    name text NOT NULL,
    system_prompt text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX chatrooms_user_id_id ON chatrooms (user_id, id);
-- Messages and replies in one table: the order of their ids is the order of the conversation.
CREATE TABLE messages (
    id uuid PRIMARY KEY DEFAULT uuidv7(),
    chatroom_id uuid NOT NULL REFERENCES chatrooms,
    role text NOT NULL CHECK (role IN ('user', 'bot')),
    content text,
    created_at timestamptz NOT NULL DEFAULT now(),
    reply_to uuid REFERENCES messages,
    status text,
    finished_at timestamptz,
    model text,
    truncated boolean,
    input_tokens integer,
    output_tokens integer
);
CREATE INDEX messages_chatroom_id_id ON messages (chatroom_id, id);
CREATE TABLE daily_usage (
    user_id uuid NOT NULL REFERENCES users,
    day date NOT NULL,
    used integer NOT NULL,
    PRIMARY KEY (user_id, day)
);
