"""Where and how a model runs: machine, precision, execution, price, place, data transfer and startup."""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..hardware.hosts import HostLike as HostLike
    from ..results.costs import ColdStart as ColdStart
    from ..results.costs import Cost as Cost
    from ..results.costs import Moved as Moved
    from ..results.costs import Place as Place
    from ..results.costs import Price as Price
    from ..results.costs import PriceError as PriceError
    from ..results.costs import StartPart as StartPart
    from ..results.costs import Startup as Startup
    from ..results.costs import StartupError as StartupError
    from ..results.costs import Transfer as Transfer
    from ..results.costs import TransferError as TransferError
    from ..results.layout import Layout as Layout
    from ..results.layout import LayoutError as LayoutError
    from .commitments import Commitment as Commitment
    from .commitments import CommitmentLike as CommitmentLike
    from .commitments import FixedCosts as FixedCosts
    from .commitments import FixedCostsLike as FixedCostsLike
    from .commitments import committed as committed
    from .commitments import parse_commitment as parse_commitment
    from .commitments import parse_fixed_costs as parse_fixed_costs
    from .deployment import OPTIONS as OPTIONS
    from .deployment import Deployment as Deployment
    from .deployment import DeploymentError as DeploymentError
    from .deployment import HardwareLike as HardwareLike
    from .deployment import checked_field as checked_field
    from .deployment import deployment_of as deployment_of
    from .egress import Egress as Egress
    from .egress import EgressLike as EgressLike
    from .egress import egress_usd as egress_usd
    from .egress import parse_egress as parse_egress
    from .interruptions import Interruptions as Interruptions
    from .interruptions import InterruptionsError as InterruptionsError
    from .interruptions import InterruptionsLike as InterruptionsLike
    from .interruptions import parse_interruptions as parse_interruptions
    from .layout import LayoutLike as LayoutLike
    from .layout import parse_layout as parse_layout
    from .places import UnknownPlaceError as UnknownPlaceError
    from .places import known_places as known_places
    from .places import place as place
    from .prices import Offer as Offer
    from .prices import PriceLike as PriceLike
    from .prices import UnknownOfferError as UnknownOfferError
    from .prices import UnpricedError as UnpricedError
    from .prices import clouds as clouds
    from .prices import offer as offer
    from .prices import offers as offers
    from .prices import parse_price as parse_price
    from .serverless import Serverless as Serverless
    from .serverless import ServerlessLike as ServerlessLike
    from .serverless import invocation_usd as invocation_usd
    from .serverless import parse_serverless as parse_serverless
    from .serverless import provisioned_usd as provisioned_usd
    from .serverless import serverless_names as serverless_names
    from .serving import Serving as Serving
    from .serving import ServingError as ServingError
    from .serving import ServingLike as ServingLike
    from .serving import parse_serving as parse_serving
    from .serving import serving_text as serving_text
    from .startup import StartupLike as StartupLike
    from .startup import cold_start as cold_start
    from .startup import default_startup as default_startup
    from .startup import parse_startup as parse_startup
    from .startup import recorded_graphs as recorded_graphs
    from .startup import startup_text as startup_text
    from .transfer import HostLink as HostLink
    from .transfer import TransferLike as TransferLike
    from .transfer import host_link as host_link
    from .transfer import parse_transfer as parse_transfer
    from .transfer import transfer_text as transfer_text

_EXPORTS = {
    "..hardware.hosts": ("HostLike",),
    "..results.costs": (
        "ColdStart",
        "Cost",
        "Moved",
        "Place",
        "Price",
        "PriceError",
        "StartPart",
        "Startup",
        "StartupError",
        "Transfer",
        "TransferError",
    ),
    "..results.layout": (
        "Layout",
        "LayoutError",
    ),
    ".commitments": (
        "Commitment",
        "CommitmentLike",
        "FixedCosts",
        "FixedCostsLike",
        "committed",
        "parse_commitment",
        "parse_fixed_costs",
    ),
    ".deployment": (
        "OPTIONS",
        "Deployment",
        "DeploymentError",
        "HardwareLike",
        "checked_field",
        "deployment_of",
    ),
    ".egress": (
        "Egress",
        "EgressLike",
        "egress_usd",
        "parse_egress",
    ),
    ".interruptions": (
        "Interruptions",
        "InterruptionsError",
        "InterruptionsLike",
        "parse_interruptions",
    ),
    ".layout": (
        "LayoutLike",
        "parse_layout",
    ),
    ".places": (
        "UnknownPlaceError",
        "place",
        "known_places",
    ),
    ".prices": (
        "Offer",
        "PriceLike",
        "UnknownOfferError",
        "UnpricedError",
        "clouds",
        "offer",
        "offers",
        "parse_price",
    ),
    ".serverless": (
        "Serverless",
        "ServerlessLike",
        "invocation_usd",
        "parse_serverless",
        "provisioned_usd",
        "serverless_names",
    ),
    ".serving": (
        "Serving",
        "ServingError",
        "ServingLike",
        "parse_serving",
        "serving_text",
    ),
    ".startup": (
        "StartupLike",
        "cold_start",
        "default_startup",
        "parse_startup",
        "recorded_graphs",
        "startup_text",
    ),
    ".transfer": (
        "HostLink",
        "TransferLike",
        "host_link",
        "parse_transfer",
        "transfer_text",
    ),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
