"""Notifications: what a portfolio's day was, told to people.

Belongs here: messages, their rendering as text and Slack blocks, and sending them. Does not belong here: deciding
anything. Nothing in here ever fails a run: `send` answers whether it worked, and never raises.
"""

from __future__ import annotations

from defiyield_core.notify.daily import daily_message, notify_day
from defiyield_core.notify.message import Message, Pairs, TableSection, Text
from defiyield_core.notify.notifiers import LogNotifier, Notifier, SlackNotifier, notifier_from_environment
from defiyield_core.notify.plain import render_text
from defiyield_core.notify.slack import render_slack_blocks

__all__ = [
    "LogNotifier",
    "Message",
    "Notifier",
    "Pairs",
    "SlackNotifier",
    "TableSection",
    "Text",
    "daily_message",
    "notifier_from_environment",
    "notify_day",
    "render_slack_blocks",
    "render_text",
]
