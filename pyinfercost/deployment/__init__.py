"""Where and how a model runs: machine, precision, execution, price, place, data transfer and startup."""

from ..results.costs import (
    ColdStart,
    Cost,
    Moved,
    Place,
    Price,
    PriceError,
    StartPart,
    Startup,
    StartupError,
    Transfer,
    TransferError,
)
from ..results.layout import Layout, LayoutError
from .deployment import OPTIONS, Deployment, DeploymentError, HardwareLike, checked_field, deployment_of
from .layout import LayoutLike, parse_layout
from .places import UnknownPlaceError, place, places
from .prices import Offer, PriceLike, UnknownOfferError, UnpricedError, clouds, offer, offers, parse_price
from .serving import Serving, ServingError, ServingLike, parse_serving, serving_text
from .startup import StartupLike, cold_start, parse_startup, recorded_graphs, startup_text
from .transfer import HostLink, TransferLike, host_link, parse_transfer, transfer_text

__all__ = [
    "OPTIONS",
    "ColdStart",
    "Cost",
    "Deployment",
    "DeploymentError",
    "HardwareLike",
    "HostLink",
    "Layout",
    "LayoutError",
    "LayoutLike",
    "Moved",
    "Offer",
    "Place",
    "Price",
    "PriceError",
    "PriceLike",
    "Serving",
    "ServingError",
    "ServingLike",
    "StartPart",
    "Startup",
    "StartupError",
    "StartupLike",
    "Transfer",
    "TransferError",
    "TransferLike",
    "UnknownOfferError",
    "UnknownPlaceError",
    "UnpricedError",
    "checked_field",
    "clouds",
    "cold_start",
    "deployment_of",
    "host_link",
    "offer",
    "offers",
    "parse_layout",
    "parse_price",
    "parse_serving",
    "parse_startup",
    "parse_transfer",
    "place",
    "places",
    "recorded_graphs",
    "serving_text",
    "startup_text",
    "transfer_text",
]
