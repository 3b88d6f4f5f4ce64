"""The configuration of a server, as its settings page shows it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from app.config.engine_config import models_folder
from app.config.settings_file import Value, preview_changes, settings_file
from app.errors import ConflictError
from app.schemas.settings import OutboundConnection, SettingFact, SettingsResponse
from app.services.context import ServiceContext
from app.services.destinations import list_destinations
from app.services.retention import confirm_retention, expired_videos
from app.services.servers import publish_settings
from engine.media.address import is_device_uri, is_live_uri
from engine.plural import counted

_ALERTS = "Alerts to a destination"
_ENGINES_OWN = "chosen by the engine"
_WHEN_RAISED = "only to destinations an admin adds, by rules that name them"


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
            n_videos = context.catalog.videos.totals().n_videos
            names = ", ".join(row.name for row in leaving[:3]) + (", ..." if leaving[3:] else "")
            raise ConflictError(
                f"a retention of {_days(after.retention.days)} would delete {len(leaving)} of "
                f"{counted(n_videos, 'video')} within the hour: {names}",
                hint="send the change again, confirmed, to delete them",
            )
    lines = context.change_settings(changes)
    publish_settings(context, dict(changes))
    if "retention.days" in changes:
        # Somebody was asked, or nothing is deleted by it.
        confirm_retention(context)
    return lines


def _days(days: float | None) -> str:
    return "never" if days is None else counted(days, "day")


def _facts(context: ServiceContext, with_worker: bool) -> list[SettingFact]:
    settings = context.settings
    limits, cache = settings.limits, settings.cache
    lines = [
        ("Model", settings.model, "model"),
        ("Device", _unless_auto(settings.device), "device"),
        ("Number format", _unless_auto(settings.dtype), "dtype"),
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
        ("Stills leave after", _days(settings.stills.days), "stills.days"),
        ("Stills on disk", _unless_limited(settings.stills.disk_bytes), "stills.disk_bytes"),
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
            what="Cameras (rtsp://, and HTTP where it is allowed)",
            when="only those an admin adds, from the worker",
            now=f"{_n_network_cameras(context)} added",
        ),
        OutboundConnection(
            what="HTTP(S) streams",
            when="only with allow_network = true",
            now="allowed" if settings.allow_network else "refused",
        ),
        OutboundConnection(
            what="Questions with their images, stills and observations to an answerer of your own",
            when="only with answer.base_url, for questions that come with images or that "
            "observations do not answer",
            now=f"to {settings.answer.host}" if settings.answer.host else "not configured",
        ),
        OutboundConnection(
            what="Files of the library to an object store of your own",
            when="only with objects.url: latents, stills, vectors, uploads, recordings, copies",
            now=f"to {settings.objects.url}" if settings.objects.url else "not configured",
        ),
        *_destinations(context),
        OutboundConnection(
            what="Analytics, version checks, fonts, scripts from other hosts",
            when="never",
            now="the browser is told to refuse them (Content-Security-Policy)",
        ),
    ]


def _destinations(context: ServiceContext) -> list[OutboundConnection]:
    """Return where alerts are sent: every destination on a line of its own."""
    rows = list_destinations(context).destinations
    if not rows:
        now = "not configured"
        return [OutboundConnection(what=_ALERTS, when=_WHEN_RAISED, now=now)]
    return [
        OutboundConnection(
            what=f"{_ALERTS}: {row.name}",
            when=_WHEN_RAISED,
            now=f"to {row.address}, {'with' if row.pictures else 'without'} stills"
            + (f", of what {row.user} may see" if row.user else ""),
        )
        for row in rows
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _unless_auto(value: str) -> str:
    return _ENGINES_OWN if value == "auto" else value


def _unless_limited(value: int | None) -> str:
    return "as many as there are" if value is None else _bytes(value)


def _own_or(value: object) -> str:
    return "the model's own" if value is None else str(value)


def _bytes(value: int | None) -> str:
    if value is None:
        return _ENGINES_OWN
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def _n_network_cameras(context: ServiceContext) -> int:
    addresses = {row.uri for row in context.catalog.videos.list()}
    addresses |= {camera.address for camera in context.catalog.cameras.list()}
    return sum(is_live_uri(uri) and not is_device_uri(uri) for uri in addresses)
