"""each user's list of chatrooms has a version and a count, which triggers keep.

Writers are not stopped, and nothing is filled: a list gets its row when it changes for the first time, with the number
of chatrooms at that time. All triggers begin at one moment, since the count of one that misses some of them would be
wrong for good. A run that was interrupted goes on from where it was when it is repeated. What the release before does
to chatrooms is seen by the triggers, too.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TOUCH_LIST = """
CREATE OR REPLACE FUNCTION touch_chatroom_list(owner uuid, added bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT bigint := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
    UPDATE chatroom_lists
    SET version = GREATEST(version + 1, moment), chatroom_count = chatroom_count + added
    WHERE user_id = owner;
    IF NOT FOUND THEN
        INSERT INTO chatroom_lists (user_id, version, chatroom_count)
        SELECT id, moment, (SELECT count(*) FROM chatrooms WHERE user_id = owner) FROM users WHERE id = owner
        ON CONFLICT (user_id) DO UPDATE
        SET version = GREATEST(chatroom_lists.version + 1, moment),
            chatroom_count = chatroom_lists.chatroom_count + added;
    END IF;
END $$
"""
TOUCH_LISTS = """
CREATE OR REPLACE FUNCTION touch_chatroom_lists() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM touch_chatroom_list(user_id, CASE TG_OP WHEN 'DELETE' THEN -rooms ELSE rooms END)
    FROM (SELECT user_id, count(*) AS rooms FROM changed WHERE user_id IS NOT NULL
          GROUP BY user_id ORDER BY user_id) AS lists;
    RETURN NULL;
END $$
"""
TOUCH_LISTS_OF_ROW = """
CREATE OR REPLACE FUNCTION touch_chatroom_lists_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.user_id IS NOT DISTINCT FROM NEW.user_id THEN
        PERFORM touch_chatroom_list(NEW.user_id, 0);
    ELSE
        PERFORM touch_chatroom_list(owner, added)
        FROM (SELECT * FROM (VALUES (OLD.user_id, -1), (NEW.user_id, 1)) AS moved (owner, added)
              WHERE owner IS NOT NULL ORDER BY owner) AS lists;
    END IF;
    RETURN NULL;
END $$
"""
TRIGGERS = (
    """
CREATE TRIGGER touch_lists_on_insert AFTER INSERT ON chatrooms REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION touch_chatroom_lists()
""",
    """
CREATE TRIGGER touch_lists_on_delete AFTER DELETE ON chatrooms REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION touch_chatroom_lists()
""",
    """
CREATE TRIGGER touch_lists_on_update AFTER UPDATE OF user_id, name, updated_at, pinned_at, archived_at ON chatrooms
    FOR EACH ROW WHEN ((OLD.user_id, OLD.name, OLD.updated_at, OLD.pinned_at, OLD.archived_at)
                       IS DISTINCT FROM (NEW.user_id, NEW.name, NEW.updated_at, NEW.pinned_at, NEW.archived_at))
    EXECUTE FUNCTION touch_chatroom_lists_of_row()
""",
)


def upgrade() -> None:
    """One step up."""
    # A step of its own: its foreign key locks ``users``, and the triggers lock ``chatrooms``.
    with op.get_context().autocommit_block():
        op.execute("""
            CREATE TABLE IF NOT EXISTS chatroom_lists (
                user_id uuid NOT NULL,
                version bigint NOT NULL,
                chatroom_count bigint NOT NULL,
                CONSTRAINT pk_chatroom_lists PRIMARY KEY (user_id),
                CONSTRAINT fk_chatroom_lists_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
            ) WITH (fillfactor = 50)
        """)
        for function in (TOUCH_LIST, TOUCH_LISTS, TOUCH_LISTS_OF_ROW):
            op.execute(function)
    for trigger in TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    """One step down."""
    op.execute("DROP FUNCTION touch_chatroom_lists CASCADE")
    op.execute("DROP FUNCTION touch_chatroom_lists_of_row CASCADE")
    op.execute("DROP FUNCTION touch_chatroom_list")
    op.drop_table("chatroom_lists")
