"""Groups of channels that must be removed together, and the graph with their sizes as named sizes."""

from __future__ import annotations

from .channel_groups import channel_groups
from .groups import ChannelGroup, ChannelGroups, ChannelGroupsError, Member

__all__ = ["ChannelGroup", "ChannelGroups", "ChannelGroupsError", "Member", "channel_groups"]
