"""How a chip turns the update of a learning rule into pulses: its update scheme."""

from typing import Literal

import msgspec

from neurohw.devices.memory import AnyDevice
from neurohw.errors import InvalidValueError
from neurohw.units import Fraction

# A word of digital memory beside a cell.
WORD_BITS = 32


class Programming(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Update scheme of every array of a chip.

    Parameters
    ----------
    events : {"batch", "sample"}
        How often cells are programmed: once for the sum over a mini-batch, or sample by sample.
    pulses : {"count", "train", "sign", "write-verify"}
        ``count``: as many pulses as the wanted change is worth. ``train``: stochastic pulse trains
        on both lines of a cell, which takes a pulse where two coincide. ``sign``: one pulse.
        ``write-verify``: pulses with reads between them, until the wanted value is reached.
    order : {"net", "sequential"}
        Digital logic adds all terms of an update up, cell by cell, before pulses are applied; or
        each product of two lines, and each line sum, is pulsed by itself, one after the other.
    rounding : {"stochastic", "nearest"}
        Of pulse counts.
    polarities : {"known", "alike"}
        What pulses are counted with: each polarity's own nominal step, or the mean of both, so that
        what they differ by biases every update of a cell. Pairs of which both cells are moved
        cancel it until a cell is at a limit. Exported schedules of pulses take no notice.
    threshold : float
        Of ``sign``: wanted change, in pulses, up to which a cell is left alone.
    verify_pulses : int
        Of ``write-verify``: most pulses of a cell in one event.
    verify_tolerance : float
        Distance from the wanted value at which a cell is left alone, of ``g_max - g_min``.
    optimizer : {"none", "momentum", "adam"}
        Digital filter of the wanted changes, before anything else.
    momentum : float
        Share of the last step, or of the mean gradient, that is kept.
    second_momentum : float
        Share of the mean square that Adam keeps.
    adam_step : float
        What Adam changes a cell by where its gradient has one sign, of ``g_max - g_min``. It
        stands in for the learning rate, with its decay.
    accumulate : {"none", "digital", "analog", "carry"}
        ``digital``: changes add up in a memory beside the array, and a cell takes a pulse when one
        is due. ``analog``: they are pulsed into a fast array, whose distance from its symmetry
        points is transferred (Tiki-Taka). ``carry``: they are pulsed into a narrower cell beside
        the wide one, and carried over.
    fast_device : device, optional
        Of the fast array, and of the narrower cells; default the chip's own.
    fast_rate : float
        Factor on the changes that the fast array takes.
    transfer_every, transfer_lines : int
        Events between two transfers, and input lines of the fast array that one of them reads.
    transfer_rate : float
        Wanted change of a cell as a share of its fast cell's distance from the symmetry point.
    carry_every : int
        Events between two carries.
    carry_base : float
        Width of a cell over that of the narrower one beside it.
    half_select : float
        Pulses that a cell takes for each pulse of another cell on its word or bit line.

    References
    ----------
    Gokmen, Vlasov (2016), Front. Neurosci. 10, 333, for pulse trains; Nandakumar et al. (2020),
    Front. Neurosci. 14, 406, for accumulation beside the array; Gokmen, Haensch (2020), Front.
    Neurosci. 14, 103, for Tiki-Taka; Agarwal et al. (2017), VLSI Technology, for periodic carry.
    """

    events: Literal["batch", "sample"] = "batch"
    pulses: Literal["count", "train", "sign", "write-verify"] = "count"
    order: Literal["net", "sequential"] = "net"
    rounding: Literal["stochastic", "nearest"] = "stochastic"
    polarities: Literal["known", "alike"] = "known"
    threshold: float = 0.0
    verify_pulses: int = 20
    verify_tolerance: Fraction = 0.01
    optimizer: Literal["none", "momentum", "adam"] = "none"
    momentum: Fraction = 0.9
    second_momentum: Fraction = 0.999
    adam_step: Fraction = 0.001
    accumulate: Literal["none", "digital", "analog", "carry"] = "none"
    fast_device: AnyDevice | None = None
    fast_rate: float = 1.0
    transfer_every: int = 1
    transfer_lines: int = 1
    transfer_rate: float = 0.02
    carry_every: int = 100
    carry_base: float = 10.0
    half_select: Fraction = 0.0

    def __post_init__(self) -> None:
        for key in ("threshold", "fast_rate", "transfer_rate"):
            self._require(key, "must be finite, 0 or more", 0 <= getattr(self, key) < float("inf"))
        for key in ("verify_pulses", "transfer_every", "transfer_lines", "carry_every"):
            self._require(key, "must be 1 or more", getattr(self, key) >= 1)
        for key in ("momentum", "second_momentum"):
            self._require(key, "must lie between 0 and 1, below 1", 0 <= getattr(self, key) < 1)
        for key in ("verify_tolerance", "half_select"):
            self._require(key, "must lie between 0 and 1", 0 <= getattr(self, key) <= 1)
        self._require("adam_step", "must lie between 0 and 1, above 0", 0 < self.adam_step <= 1)
        self._require("carry_base", "must be finite, above 1", 1 < self.carry_base < float("inf"))
        digital = self.optimizer != "none" or self.accumulate == "digital"
        if digital and (self.pulses == "train" or self.order == "sequential"):
            other = "pulses = train" if self.pulses == "train" else "order = sequential"
            key = "accumulate" if self.optimizer == "none" else "optimizer"
            raise InvalidValueError(
                f"{other}: {key} = {getattr(self, key)} needs the net change of every cell as a"
                f" number, so pulses = count, sign or write-verify, and order = net"
            )
        if self.pulses == "write-verify" and self.order == "sequential":
            raise InvalidValueError(
                "order = sequential: pulses = write-verify writes a value, so order = net"
            )

    def _require(self, key: str, message: str, holds: bool) -> None:
        if not holds:
            raise InvalidValueError(f"{key} = {getattr(self, key)}: {message}")

    @property
    def by_sample(self) -> bool:
        """Whether each sample is an event."""
        return self.events == "sample"

    @property
    def fused(self) -> bool:
        """Whether one pass over an array does it, without a number a cell in between."""
        return (
            self.pulses == "count"
            and self.rounding == "stochastic"
            and self.optimizer == self.accumulate == "none"
            and self.half_select == 0
        )

    @property
    def needs_pulses(self) -> str | None:
        """The key that asks for a device with whole pulses, if one does, with its value."""
        for key, default in (("pulses", "count"), ("rounding", "stochastic")):
            if getattr(self, key) != default:
                return f"{key} = {getattr(self, key)}"
        if self.accumulate != "none":
            return f"accumulate = {self.accumulate}"
        return f"half_select = {self.half_select}" if self.half_select > 0 else None

    @property
    def memory(self) -> tuple[int, int]:
        """Bits of digital memory beside each weight, and memory cells a weight is made of."""
        words = {"none": 0, "momentum": 1, "adam": 2}[self.optimizer]
        words += self.accumulate == "digital"
        return WORD_BITS * words, 2 if self.accumulate in ("analog", "carry") else 1
