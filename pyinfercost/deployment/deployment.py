"""`Deployment`: where and how a model runs, as one value that every function takes as `on=`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import isnan
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import shown
from .._lazy import cached_property
from ..errors import InputTypeError
from ..hardware import load
from ..hardware.hosts import HostLike
from ..inputs.engine_settings import EngineSettings
from ..inputs.layout import Layout
from ..inputs.place import Place
from ..inputs.price import Price
from ..inputs.startup import Startup
from ..inputs.transfer import Transfer
from .cold_starts import default_startup
from .documents import hardware_from, plain_hardware, plain_price, plain_terms, price_from
from .engines import DeploymentError, execution_of, forms_steps
from .fields import OPTIONS, DeploymentFields, HardwareLike, needs_machine

if TYPE_CHECKING:
    from typing_extensions import Self


SCHEMA_VERSION = 1

_OF_MACHINE = frozenset({"hardware", "threads", "instances", "sustained", "host"})
_ALONE = Layout()  # searches make thousands of deployments, and checking the layout of one device takes a tenth of that


class Deployment(DeploymentFields):
    """Where and how a model runs.

    Names are resolved and checked when the value is made, so that an unknown machine, price or place fails at once. Two
    deployments are equal if they resolve to equal values: `Deployment(hardware="l4")` equals
    `Deployment(hardware=ic.hardware.load("l4"))`.

    Raises:
        InputError: A name is unknown, a value is out of range, or a field needs hardware that is not given.
    """

    @classmethod
    def _named(cls, name: str) -> str:
        return name

    def _check(self) -> None:
        self._resolve(None)

    def _resolve(self, machine: _core.Hardware | None) -> None:
        """Check fields with each other and resolve names; the machine is loaded unless it is given."""
        asked = dict(vars(self))
        found: dict[str, Any] = {"_asked": asked, "execution": execution_of(self.engine, self.execution)}
        layout = _ALONE if self.layout is None else Layout.parse(self.layout)
        found["_layout"] = layout = layout if self.devices == 1 else layout.on(self.devices)
        found["devices"] = layout.devices
        if self.layout is not None:
            found["layout"] = layout
        if self.serving and not forms_steps(self.engine):
            raise DeploymentError(
                f"serving is {shown(self.serving)}, and engine {self.engine} forms no steps; pass a serving engine, "
                "such as engine='vllm', or leave serving out"
            )
        if layout.context > 1 and self.serving and self.settings.chunk_tokens:
            raise DeploymentError(
                f"serving is {shown(self.serving)}, and layout {layout} shares the tokens of prompts; pass "
                "chunk_tokens or context, and not both"
            )
        price = rent = None
        if self.hardware is None:
            for each in self.fields:
                if needs_machine(each.name) and getattr(self, each.name) != each.default:
                    raise DeploymentError(
                        f"{each.name} is given without hardware; pass hardware= with the machine, such as hardware='l4'"
                    )
        else:
            machine = machine or _loaded(
                self.hardware, self.threads, self.instances, sustained=bool(self.sustained), host=self.host
            )
            if machine.sustained:  # also one that was loaded so
                found["sustained"] = True
            if self.price is not None:
                threads = None if self.threads is None else self.threads * self.instances
                from .prices import parse_price

                nodes = _core.nodes_of(machine, layout.devices, layout.nodes)
                replica = _core.RentedDevices(layout.devices, layout.together, nodes)
                price = parse_price(self.price, machine.id, threads=threads, together=replica.together)
                rent = _core.Rent(replica, price.usd_per_h, price.devices)
        self.__dict__.update(found, _machine=machine, _price=price, _rent=rent)
        if self.region is not None or (price is not None and not price.cloud):
            self.__dict__["place"] = self._found_place()  # the caller named it: an unknown name fails at once

    @property
    def machine(self) -> _core.Hardware:
        """The loaded machine.

        Raises:
            DeploymentError: The deployment has no hardware.
        """
        machine: _core.Hardware | None = self.__dict__["_machine"]
        if machine is None:
            raise DeploymentError("no hardware is given; pass hardware=, such as hardware='l4', alone or in on=")
        return machine

    @property
    def asked_execution(self) -> str:
        """The execution as it was given; empty for the engine's default."""
        asked: str = self.__dict__["_asked"]["execution"]
        return asked

    @property
    def rank_layout(self) -> Layout:
        """The resolved `layout`, repeated on all devices; copies of the whole model if it is None."""
        layout: Layout = self.__dict__["_layout"]
        return layout

    @property
    def settings(self) -> EngineSettings:
        """How the engine forms its steps."""
        return EngineSettings.parse(self.serving)

    @property
    def device_price(self) -> Price | None:
        """The resolved price of one device hour, with its source; None without a price."""
        price: Price | None = self.__dict__["_price"]
        return price

    @property
    def rent(self) -> _core.Rent | None:
        """What replicas of it pay: whole instances of the price, as full as they get; None without a price."""
        found: _core.Rent | None = self.__dict__["_rent"]
        return found

    @cached_property
    def place(self) -> Place | None:
        """The resolved region, or the place of the price; None if neither is known."""
        return self._found_place()

    def _found_place(self) -> Place | None:
        price = self.device_price
        if self.region is None and price is None:
            return None
        from .places import place, place_of_price

        if self.region is not None:
            return place(self.region, cloud="" if price is None else price.cloud)
        return None if price is None else place_of_price(price)

    @property
    def data_transfer(self) -> Transfer:
        """The resolved `transfer`; copies from and to pageable memory if it is None."""
        return Transfer() if self.transfer is None else Transfer.parse(self.transfer)

    @property
    def replica_startup(self) -> Startup:
        """The resolved `startup`; `default_startup` of the engine if it is None."""
        return default_startup(self.engine) if self.startup is None else Startup.parse(self.startup)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other fields; the price and the place are resolved again.

        Another machine runs one copy on all its cores, and has the default host, unless `threads`, `instances` or
        `host` is given too. If it is named by an id or a path, it is sustained if this one is.

        Args:
            **changes: Fields and their new values.

        Raises:
            InputTypeError: A name is no field.
            InputError: As for `Deployment`.
        """
        checks = {each.name: each for each in self.fields}
        if unknown := changes.keys() - checks.keys():
            raise InputTypeError(f"a deployment has no {', '.join(sorted(unknown))}; expected {', '.join(OPTIONS)}")
        machine = changes.get("hardware")
        if machine is not None:
            changes = {"threads": None, "instances": 1, "host": None, **changes}
        if isinstance(machine, _core.Hardware):
            changes.setdefault("sustained", machine.sustained)
        other = object.__new__(type(self))
        kept = {**self.__dict__["_asked"], "sustained": self.sustained}
        other.__dict__.update(
            kept, **{name: checks[name].checked(value, name, self.error) for name, value in changes.items()}
        )
        other._resolve(self.__dict__["_machine"] if _OF_MACHINE.isdisjoint(changes) else None)
        return other

    def for_throughput(self) -> Self:
        """Return the deployment of a machine that runs without pause.

        Returns:
            The deployment with `sustained`, if that is not decided, the machine is given by name, and its power under
            load is known; otherwise this one.
        """
        machine: _core.Hardware | None = self.__dict__["_machine"]
        if self.sustained is not None or machine is None or isinstance(self.hardware, _core.Hardware):
            return self
        if isnan(machine.constant("power.dram_s_per_byte")):
            return self
        return self.replace(sustained=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the deployment as JSON values: names as they were given, and objects by their content."""
        return {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(self, name) for name in OPTIONS},
            "execution": self.asked_execution,
            "layout": None if self.layout is None else self.rank_layout.given,
            "hardware": plain_hardware(self.hardware),
            "price": plain_price(self.price),
            "transfer": None if self.transfer is None else plain_terms(self.data_transfer),
            "startup": None if self.startup is None else plain_terms(self.replica_startup),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the deployment that `to_dict` described; missing keys take their defaults.

        Raises:
            InputError: The document has another schema version or unknown keys, or its values are refused.
        """
        if not isinstance(document, Mapping):
            raise DeploymentError(f"the deployment is {shown(document)}; expected an object, as to_dict returns it")
        fields = dict(document)
        version = fields.pop("schema_version", SCHEMA_VERSION)
        unknown = sorted(map(str, fields.keys() - set(OPTIONS)))
        if version != SCHEMA_VERSION or unknown:
            raise DeploymentError(
                f"the deployment has schema_version {shown(version)} and unknown keys {unknown}; expected version "
                f"{SCHEMA_VERSION} and some of {', '.join(OPTIONS)}"
            )
        if isinstance(fields.get("hardware"), Mapping):
            fields["hardware"] = hardware_from(fields["hardware"])
        fields["price"] = price_from(fields.get("price"))
        return cls(**fields)

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Deployment) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        given = {each.name: value for each in self.fields if (value := getattr(self, each.name)) != each.default}
        if not self.asked_execution:
            given.pop("execution", None)
        if self.layout is not None:
            given["layout"] = str(self.rank_layout)
            given.pop("devices", None)
        if isinstance(self.hardware, _core.Hardware):
            given["hardware"] = self.hardware.id
        if self.transfer is not None:
            given["transfer"] = str(self.data_transfer)
        if self.startup is not None:
            given["startup"] = str(self.replica_startup)
        return f"Deployment({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    @cached_property
    def _identity(self) -> tuple[Any, ...]:
        """All that results depend on, as a hashable value."""
        machine = self.__dict__["_machine"]
        return (
            None if machine is None else _facts(machine),
            self.rank_layout,
            self.precision,
            self.engine,
            self.serving,
            self.execution,
            self.threads,
            self.instances,
            self.device_price,
            self.utilization,
            self.place,
            self.transfer,
            self.startup,
        )


def _loaded(
    hardware: HardwareLike, threads: int | None, instances: int, *, sustained: bool, host: HostLike | None
) -> _core.Hardware:
    """Return the machine; one that was loaded as sustained stays so."""
    already = isinstance(hardware, _core.Hardware) and hardware.sustained
    return load(hardware, threads=threads, instances=instances, sustained=sustained and not already, host=host)


@lru_cache(maxsize=512)  # by identity: a search asks for the prices of few machines, and reading them all takes 0.1 ms
def _facts(machine: _core.Hardware) -> str:
    """Return all that is known of a machine."""
    return machine.__getstate__()
