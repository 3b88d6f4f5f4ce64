"""Capacity of this machine for a plan: rates are measured here, the rest is sums.

A drawn minute or two of 640x360 video in which something always moves goes through the whole
product, sampled as the plan says. Nothing is thinned in it, so real cameras need less.
"""

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.config.settings import Settings
from app.machine import available_memory_bytes, usable_cores
from app.progress import Unattended
from app.schemas.capacity import (
    CapacityFleet,
    CapacityNeed,
    CapacityPlan,
    CapacityRates,
    CapacityResponse,
)
from app.services.benchmarks._footage import draw_footage
from app.services.benchmarks.decode import cpu_s
from app.services.capacity_fleet import plan_fleet, spell_fleet
from app.services.context import ServiceContext
from app.services.ingest import add_source, read_video
from engine.cache.budget import CacheConfig
from engine.cache.quantise import packed_bytes
from engine.device import cache_bytes, pick_device
from engine.errors import InputRefusedError
from engine.protocols import VideoModel
from engine.records import ModelCard

_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(cameras?|fps|days?|weeks?|hours?)\s*")
_DAYS: Final = {"day": 1.0, "week": 7.0, "hour": 1 / 24}
MEASURED_MINUTES: Final = 2
DAY_S: Final = 86_400
CODE_EXTRA_BYTES: Final = 24
"""Bytes of a code beside a bit for each number: its factors, its row, and its part of the sums."""
MOST_HEADROOM: Final = 0.8
"""Share of a machine that ingest may take: questions, observers and the system need the rest."""


def parse_plan(text: str) -> CapacityPlan:
    """Read a plan such as "16 cameras, 1 fps, 30 days"; parts may be left out.

    Raises:
        InputRefusedError: A part is none of these, or said twice, or 0.
    """
    cameras, fps, days = 1, 1.0, 30.0
    seen = set[str]()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or float(match[1]) <= 0:
            raise InputRefusedError(
                f"a plan has no part {part.strip()!r}",
                hint='it reads like "16 cameras, 1 fps, 30 days"',
            )
        number, unit = float(match[1]), match[2].rstrip("s") if match[2] != "fps" else "fps"
        what = "time" if unit in _DAYS else unit
        if what in seen or (what == "camera" and number != int(number)):
            raise InputRefusedError(
                f"a plan says {part.strip()!r} where it cannot",
                hint='it reads like "16 cameras, 1 fps, 30 days"',
            )
        seen.add(what)
        if what == "camera":
            cameras = int(number)
        elif what == "fps":
            fps = number
        else:
            days = number * _DAYS[unit]
    return CapacityPlan(cameras=cameras, fps=fps, days=days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Resources of a machine that a plan may take."""

    cores: int
    device: str
    device_bytes: int
    """For latents; 0 without an accelerator."""
    host_bytes: int
    """For latents, by the settings."""
    memory_bytes: int
    disk_bytes: int
    """Free for the library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Rates of a machine at one frame rate, and what they depend on."""

    rates: CapacityRates
    card: ModelCard
    cache: CacheConfig
    """Budgets of the latents, by the settings."""


class CapacityPlanner:
    """Plans for a machine: each frame rate is measured once, one at a time; the rest is sums."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._measured: dict[tuple[float, str], Measured] = {}

    def plan(
        self,
        settings: Settings,
        text: str,
        *,
        model: Callable[[], VideoModel] | None = None,
        minutes: int = MEASURED_MINUTES,
    ) -> CapacityResponse:
        """Say whether a plan fits this machine.

        Args:
            settings: Of the library that would hold it; the library itself is not touched.
            text: As `parse_plan` reads it.
            model: Returns the settings' model where it is loaded.
            minutes: Of drawn video that are read to measure.
        Cost: about a minute where the frame rate was not measured yet under these settings.
        """
        plan = parse_plan(text)
        with self._lock:
            key = (plan.fps, settings.model_dump_json())
            if key not in self._measured:
                loaded = None if model is None else model()
                self._measured[key] = _measure(settings, plan.fps, loaded, minutes)
            measured = self._measured[key]
        machine = _machine(settings, measured.cache)
        return judge(plan, measured.rates, machine, measured.card)


def judge(
    plan: CapacityPlan, rates: CapacityRates, machine: Machine, card: ModelCard
) -> CapacityResponse:
    """Compare what a plan needs with what a machine has."""
    frames_per_s = plan.cameras * plan.fps
    camera_days = plan.cameras * plan.days
    latent_bytes = rates.latent_bytes_per_day * camera_days
    still_bytes = rates.still_bytes_per_day * camera_days
    n_vectors = round(plan.fps * DAY_S * camera_days)
    vector_bytes = n_vectors * card.vector_dim * 4
    code_bytes = n_vectors * (card.vector_dim // 8 + CODE_EXTRA_BYTES)
    disk_bytes = latent_bytes + still_bytes + vector_bytes
    near_bytes = machine.device_bytes + machine.host_bytes
    needs = [
        CapacityNeed(
            name="frames a second",
            needed=frames_per_s,
            available=round(MOST_HEADROOM * rates.frames_per_s, 1),
            unit="frames/s",
            fits=frames_per_s <= MOST_HEADROOM * rates.frames_per_s,
            detail=f"measured here at 640x360 on {rates.device}, with a fifth left for the rest",
        ),
        CapacityNeed(
            name="disk",
            needed=disk_bytes,
            available=machine.disk_bytes,
            unit="bytes",
            fits=disk_bytes <= machine.disk_bytes,
            detail=(
                f"latents {latent_bytes / 1e9:,.1f} GB, stills {still_bytes / 1e9:,.1f} GB, "
                f"vectors {vector_bytes / 1e9:,.1f} GB; recordings of the cameras come on top"
            ),
        ),
        CapacityNeed(
            name="codes of vectors in memory",
            needed=code_bytes,
            available=machine.memory_bytes // 2,
            unit="bytes",
            fits=code_bytes <= machine.memory_bytes // 2,
            detail=(
                f"{n_vectors:,} vectors of {card.vector_dim} numbers, which stay on disk; a bit of "
                "each number is searched"
            ),
        ),
        CapacityNeed(
            name="latents near the model",
            needed=latent_bytes,
            available=near_bytes,
            unit="bytes",
            # The rest is read from disk when a question recalls it: slower, never wrong.
            fits=True,
            detail=_residency(rates, plan, machine),
        ),
    ]
    fleet = _fleet(plan, rates, needs, card)
    return CapacityResponse(
        plan=plan,
        rates=rates,
        needs=needs,
        fits=fleet is None,
        changes=[*_changes(plan, rates, machine, needs, card), *spell_fleet(fleet)],
        fleet=fleet,
    )


def _fleet(
    plan: CapacityPlan, rates: CapacityRates, needs: list[CapacityNeed], card: ModelCard
) -> CapacityFleet | None:
    """Return how many machines a plan takes; `None` where this one is enough."""
    if all(need.fits for need in needs):
        return None
    speed, _, codes, _ = needs
    return plan_fleet(plan, rates, card, most_frames_per_s=speed.available, codes=codes)


def _measure(settings: Settings, fps: float, model: VideoModel | None, minutes: int) -> Measured:
    """Read drawn video into a library that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="longwatch-plan-") as folder:
        sampling = settings.sampling.model_copy(update={"fps": fps})
        scratch = settings.model_copy(
            update={"home": Path(folder) / "home", "database_url": None, "sampling": sampling}
        )
        context = ServiceContext(scratch, model=model)
        try:
            return Measured(
                card=context.engine.model.card,
                cache=context.engine.config.cache,
                rates=_read(context, draw_footage(Path(folder) / "footage.mp4", minutes)),
            )
        finally:
            context.close()


def _read(context: ServiceContext, footage: Path) -> CapacityRates:
    engine = context.engine
    used, started = cpu_s(), time.perf_counter()
    video = read_video(context, add_source(context, str(footage)), Unattended())
    wall_s, used_s = time.perf_counter() - started, cpu_s() - used
    n_frames = video.ingested_s * engine.sampling.fps
    cores = usable_cores()
    # On a CPU more processes read side by side until its cores are taken; beside an accelerator
    # one of them already waits for it.
    per_s = n_frames / wall_s if engine.device.type != "cpu" else n_frames / used_s * cores
    a_day = DAY_S / video.ingested_s
    return CapacityRates(
        device=str(engine.device),
        model=f"{engine.model.card.family}/{engine.model.card.variant}",
        frames_per_s=round(per_s, 1),
        frames_per_s_one_video=round(n_frames / wall_s, 1),
        latent_bytes_per_day=round(video.latent_bytes * a_day),
        still_bytes_per_day=round(context.stills.used_bytes() * a_day),
        measured_s=round(wall_s, 1),
    )


def _machine(settings: Settings, cache: CacheConfig) -> Machine:
    home = settings.home
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    device = pick_device(settings.device)
    chosen = cache.device_bytes
    on_device = 0 if device.type == "cpu" else cache_bytes(device) if chosen is None else chosen
    free_bytes = shutil.disk_usage(existing).free
    if cache.disk_bytes is not None:
        free_bytes = min(free_bytes, cache.disk_bytes)
    return Machine(
        cores=usable_cores(),
        device=str(device),
        device_bytes=on_device,
        host_bytes=cache.host_bytes,
        memory_bytes=available_memory_bytes(),
        disk_bytes=free_bytes,
    )


def _residency(rates: CapacityRates, plan: CapacityPlan, machine: Machine) -> str:
    per_hour = max(1.0, rates.latent_bytes_per_day / 24 * plan.cameras)
    on_device = machine.device_bytes / per_hour
    on_host = machine.host_bytes / per_hour
    spoken = f"the last {on_host:,.1f} h of all cameras in main memory"
    if machine.device_bytes:
        spoken = f"the last {on_device:,.1f} h of all cameras on {machine.device}, {spoken}"
    return f"{spoken}; older ones are read from disk when a question needs them"


def _changes(
    plan: CapacityPlan,
    rates: CapacityRates,
    machine: Machine,
    needs: list[CapacityNeed],
    card: ModelCard,
) -> list[str]:
    """Return what would make a plan fit, the cheapest change first."""
    speed, disk, vectors = needs[:3]
    changes = list[str]()
    if not speed.fits:
        fps = speed.available / plan.cameras
        cameras = int(speed.available / plan.fps)
        changes.append(
            f"sample {fps:.2g} frames a second (`sampling.fps`), or read {cameras} cameras here "
            "and the others with `longwatch worker` on another machine"
        )
    if not disk.fits:
        changes += _smaller(plan, rates, machine, disk, card)
    if not vectors.fits:
        days = plan.days * vectors.available / vectors.needed
        changes.append(f"keep {days:.1f} days instead of {plan.days:g}, or add memory")
    return changes


def _smaller(
    plan: CapacityPlan,
    rates: CapacityRates,
    machine: Machine,
    disk: CapacityNeed,
    card: ModelCard,
) -> list[str]:
    """Return what would make a plan fit the disk, with the days that fit then."""
    a_day = disk.needed / plan.days
    latents, stills = (
        bytes_a_day * plan.cameras
        for bytes_a_day in (rates.latent_bytes_per_day, rates.still_bytes_per_day)
    )
    days = machine.disk_bytes / a_day
    changes = [f"keep {days:.1f} days instead of {plan.days:g} (`retention.days`)"]
    rest_bytes = machine.disk_bytes - (a_day - stills) * plan.days
    if rest_bytes > 0:
        changes.append(f"keep stills for {rest_bytes / stills:.1f} days alone (`stills.days`)")
    packed = machine.disk_bytes / (a_day - latents * (1 - _int3_share(card)))
    if packed > 1.05 * days:
        changes.append(
            'store latents in three bits (`stream.latent_format = "int3"`): '
            f"{packed:.1f} days fit then"
        )
    return changes


def _int3_share(card: ModelCard) -> float:
    """Return the bytes of latents in three bits, of native ones; 1 for what is no KV cache."""
    n_channels = card.latent_bytes // 2
    native = card.latents_per_chunk * card.latent_bytes
    return min(1.0, n_channels * (packed_bytes(card.latents_per_chunk, 3) + 3) / native)
