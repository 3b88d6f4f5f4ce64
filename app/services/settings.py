"""The configuration of a server, as its settings page shows it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from app.config.engine_config import models_folder
from app.config.settings_file import Value, preview_changes, settings_file
from app.errors import ConflictError
from app.schemas.settings import OutboundConnection, SettingFact, SettingsResponse
from app.services.context import ServiceContext
from app.services.retention import expired_videos
from engine.media.address import is_live_uri


def describe_settings(context: ServiceContext, *, with_worker: bool) -> SettingsResponse:
    """Return the settings that matter to a reader, and every connection that could ever leave.

    Args:
        with_worker: Whether jobs run in this process.
    """
    return SettingsResponse(
        facts=_facts(context, with_worker),
        outward=_outbound(context),
        file=str(settings_file(context.settings)),
    )


def update_settings(
    context: ServiceContext, changes: Mapping[str, Value], *, is_confirmed: bool
) -> tuple[str, ...]:
    """Check and save settings; a retention that deletes videos at once has to be confirmed.

    Returns:
        A line for each setting that has changed.
    Raises:
        ConflictError: Videos would be deleted now, and nobody has confirmed that.
        LongwatchError: As `SettingsStore.apply`.
    """
    days = changes.get("retention.days")
    if not is_confirmed and days is not None:
        # Checked first: a value that is not allowed is no question of videos.
        after = preview_changes(context.settings, changes)
        leaving = expired_videos(context, after.retention.days, datetime.now(UTC))
        if leaving:
            names = ", ".join(row.name for row in leaving[:3]) + (", ..." if leaving[3:] else "")
            raise ConflictError(
                f"{len(leaving)} of {context.catalog.videos.totals().n_videos} videos are older "
                f"than {after.retention.days:g} days and would be deleted within the hour: {names}",
                hint="send the change again, confirmed, to delete them",
            )
    return context.change_settings(changes)


def _days(days: float | None) -> str:
    return "never" if days is None else f"{days:g} days"


def _facts(context: ServiceContext, with_worker: bool) -> list[SettingFact]:
    settings = context.settings
    limits, cache = settings.limits, settings.cache
    lines = [
        ("Model", settings.model, "model"),
        ("Device", f"{settings.device}, {settings.dtype}", "device, dtype"),
        ("Frames sampled per second", f"{settings.sampling.fps:g}", "sampling.fps"),
        ("Static frames are skipped", _yes(settings.sampling.thin_static), "sampling.thin_static"),
        (
            "Visual tokens per latent",
            _own_or(settings.stream.compression_ratio),
            "stream.compression_ratio",
        ),
        ("Latents on disk", _own_or(settings.stream.latent_format), "stream.latent_format"),
        ("Budget on the device", _bytes(cache.device_bytes), "cache.device_bytes"),
        ("Budget in memory", _bytes(cache.host_bytes), "cache.host_bytes"),
        ("Budget on disk", _bytes(cache.disk_bytes), "cache.disk_bytes"),
        ("Disk kept free", _bytes(limits.disk_reserve_bytes), "limits.disk_reserve_bytes"),
        ("Videos leave after", _days(settings.retention.days), "retention.days"),
        ("Largest upload", _bytes(limits.upload_bytes), "limits.upload_bytes"),
        ("Longest video", f"{limits.duration_s / 3600:g} h", "limits.duration_s"),
        ("Ingests at once", str(limits.concurrent_ingests), "limits.concurrent_ingests"),
        ("Questions that may wait", str(limits.queued_questions), "limits.queued_questions"),
        (
            "Server folders",
            ", ".join(map(str, settings.paths.media_roots)) or "none",
            "paths.media_roots",
        ),
        ("Library", str(settings.home), "LONGWATCH_HOME"),
        ("Database", context.catalog.where, "database_url"),
        ("Jobs run here", _yes(with_worker), "serve --no-worker"),
    ]
    return [SettingFact(name=name, value=value, setting=key) for name, value, key in lines]


def _outbound(context: ServiceContext) -> list[OutboundConnection]:
    settings = context.settings
    return [
        OutboundConnection(
            what="Model download from a model hub",
            when="only when someone runs `longwatch models pull`",
            now=f"never by this server; models lie in {models_folder(settings)}",
        ),
        OutboundConnection(
            what="Cameras (rtsp://)",
            when="only those an admin adds, from the worker",
            now=f"{sum(is_live_uri(row.uri) for row in context.catalog.videos.list())} added",
        ),
        OutboundConnection(
            what="HTTP(S) streams",
            when="only with allow_network = true",
            now="allowed" if settings.allow_network else "refused",
        ),
        OutboundConnection(
            what="Analytics, version checks, fonts, scripts from other hosts",
            when="never",
            now="the browser is told to refuse them (Content-Security-Policy)",
        ),
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _own_or(value: object) -> str:
    return "the model's own" if value is None else str(value)


def _bytes(value: int | None) -> str:
    if value is None:
        return "chosen by the engine"
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"
