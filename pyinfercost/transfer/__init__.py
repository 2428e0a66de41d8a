"""What moving data costs: inputs and results over the host's link and the network, weights before the first forward."""

from __future__ import annotations

from .moving import HostLink, Moved, host_link
from .starting import ColdStart, cold_start
from .terms import Transfer, TransferError, transfer_of

__all__ = ["ColdStart", "HostLink", "Moved", "Transfer", "TransferError", "cold_start", "host_link", "transfer_of"]
