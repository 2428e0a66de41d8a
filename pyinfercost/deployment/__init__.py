"""Where and how a model runs: machine, precision, execution, price, place, data transfer and startup."""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..hardware.hosts import HostLike as HostLike
    from ..inputs.layout import Layout as Layout
    from ..inputs.layout import LayoutError as LayoutError
    from ..inputs.layout import LayoutLike as LayoutLike
    from ..inputs.place import Place as Place
    from ..inputs.price import Price as Price
    from ..inputs.price import PriceError as PriceError
    from ..inputs.serving import Serving as Serving
    from ..inputs.serving import ServingError as ServingError
    from ..inputs.serving import ServingLike as ServingLike
    from ..inputs.startup import Startup as Startup
    from ..inputs.startup import StartupError as StartupError
    from ..inputs.startup import StartupLike as StartupLike
    from ..inputs.transfer import Transfer as Transfer
    from ..inputs.transfer import TransferError as TransferError
    from ..inputs.transfer import TransferLike as TransferLike
    from ..results.costs import ColdStart as ColdStart
    from ..results.costs import Cost as Cost
    from ..results.costs import Moved as Moved
    from ..results.costs import StartPart as StartPart
    from .cold_starts import cold_start as cold_start
    from .cold_starts import default_startup as default_startup
    from .cold_starts import recorded_graphs as recorded_graphs
    from .commitments import Commitment as Commitment
    from .commitments import CommitmentLike as CommitmentLike
    from .commitments import FixedCosts as FixedCosts
    from .commitments import FixedCostsLike as FixedCostsLike
    from .commitments import committed as committed
    from .deployment import OPTIONS as OPTIONS
    from .deployment import Deployment as Deployment
    from .deployment import HardwareLike as HardwareLike
    from .deployment import checked_field as checked_field
    from .egress import Egress as Egress
    from .egress import EgressLike as EgressLike
    from .egress import egress_usd as egress_usd
    from .engines import DeploymentError as DeploymentError
    from .host_links import HostLink as HostLink
    from .host_links import host_link as host_link
    from .interruptions import Interruptions as Interruptions
    from .interruptions import InterruptionsError as InterruptionsError
    from .interruptions import InterruptionsLike as InterruptionsLike
    from .keywords import deployment_of as deployment_of
    from .options import DeploymentAxes as DeploymentAxes
    from .options import DeploymentOptions as DeploymentOptions
    from .options import SizedOptions as SizedOptions
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
    from .serverless import provisioned_usd as provisioned_usd
    from .serverless import serverless_names as serverless_names

_EXPORTS = {
    "..hardware.hosts": ("HostLike",),
    "..inputs.serving": ("Serving", "ServingError", "ServingLike"),
    "..inputs.startup": ("Startup", "StartupError", "StartupLike"),
    "..inputs.transfer": ("Transfer", "TransferError", "TransferLike"),
    "..inputs.place": ("Place",),
    "..inputs.price": ("Price", "PriceError"),
    "..results.costs": ("ColdStart", "Cost", "Moved", "StartPart"),
    "..inputs.layout": ("Layout", "LayoutError", "LayoutLike"),
    ".cold_starts": ("cold_start", "default_startup", "recorded_graphs"),
    ".commitments": ("Commitment", "CommitmentLike", "FixedCosts", "FixedCostsLike", "committed"),
    ".deployment": ("Deployment", "HardwareLike", "OPTIONS", "checked_field"),
    ".egress": ("Egress", "EgressLike", "egress_usd"),
    ".engines": ("DeploymentError",),
    ".host_links": ("HostLink", "host_link"),
    ".interruptions": ("Interruptions", "InterruptionsError", "InterruptionsLike"),
    ".keywords": ("deployment_of",),
    ".options": ("DeploymentAxes", "DeploymentOptions", "SizedOptions"),
    ".places": ("UnknownPlaceError", "known_places", "place"),
    ".prices": ("Offer", "PriceLike", "UnknownOfferError", "UnpricedError", "clouds", "offer", "offers", "parse_price"),
    ".serverless": ("Serverless", "ServerlessLike", "invocation_usd", "provisioned_usd", "serverless_names"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
