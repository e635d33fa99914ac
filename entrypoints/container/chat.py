"""The stories of chatrooms, messages and reading replies."""

from typing import ClassVar

from dependency_injector import containers, providers

from application.chat.chatrooms import ChangeChatroom, ListChatrooms, OpenChatroom, ReadChatroom, RemoveChatroom
from application.chat.follow_reply import FollowReply, PollMessages, ReadEntry, WaitForReply
from application.chat.manage_reply import AskAgain, CancelReply
from application.chat.send_message import SendMessage
from application.use_cases import Chat


class ChatStories(containers.DeclarativeContainer):
    """What people say."""

    outside = providers.DependenciesContainer()

    # Whatever promises a reply charges it and puts it into the queue in the same way.
    promise_of_a_reply: ClassVar = {
        "unit_of_work": outside.unit_of_work,
        "worker_notifier": outside.worker_notifier,
        "clock": outside.clock,
        "new_id": outside.new_id,
        "allowances": outside.allowances,
        "policy": outside.reply_policy,
    }
    read_entry = providers.Factory(ReadEntry, reader=outside.reader)
    wait_for_reply = providers.Factory(
        WaitForReply, read_entry=read_entry, subscriber=outside.reply_subscriber, clock=outside.clock
    )
    chat = providers.Factory(
        Chat,
        open_chatroom=providers.Factory(
            OpenChatroom,
            unit_of_work=outside.unit_of_work,
            room_list_cache=outside.room_list_cache,
            clock=outside.clock,
            new_id=outside.new_id,
        ),
        list_chatrooms=providers.Factory(ListChatrooms, reader=outside.reader, room_list_cache=outside.room_list_cache),
        read_chatroom=providers.Factory(ReadChatroom, reader=outside.reader),
        send_message=providers.Factory(SendMessage, **promise_of_a_reply),
        change_chatroom=providers.Factory(
            ChangeChatroom,
            unit_of_work=outside.unit_of_work,
            room_list_cache=outside.room_list_cache,
            clock=outside.clock,
        ),
        remove_chatroom=providers.Factory(
            RemoveChatroom,
            unit_of_work=outside.unit_of_work,
            room_list_cache=outside.room_list_cache,
            publisher=outside.reply_publisher,
        ),
        cancel_reply=providers.Factory(
            CancelReply, unit_of_work=outside.unit_of_work, publisher=outside.reply_publisher
        ),
        ask_again=providers.Factory(AskAgain, **promise_of_a_reply),
        read_entry=read_entry,
        poll_messages=providers.Factory(
            PollMessages,
            reader=outside.reader,
            wait_for_reply=wait_for_reply,
            clock=outside.clock,
            pause=outside.pause,
        ),
        wait_for_reply=wait_for_reply,
        follow_reply=providers.Factory(FollowReply, read_entry=read_entry, subscriber=outside.reply_subscriber),
    )
