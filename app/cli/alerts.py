"""Commands about alerts: what was raised, rules, dry runs, destinations, deliveries."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.alert_destinations import destinations
from app.cli.alert_options import (
    Cooldown,
    Days,
    Direction,
    Hours,
    Least,
    LineOption,
    Motion,
    NoMotion,
    NoPicture,
    NoRecording,
    Phrase,
    Print,
    RuleCameras,
    RuleVideos,
    SendTo,
    Speech,
    Sure,
    Thing,
    ZoneOption,
    build_condition,
    condition_changes,
)
from app.cli.common import (
    After,
    Before,
    Home,
    Json,
    open_library,
    open_screen,
    parse_bound,
    requested,
)

cli = typer.Typer(help="Standing questions, and what they raised.", no_args_is_help=True)
rules = typer.Typer(help="Write, change and list rules.", no_args_is_help=True)
cli.add_typer(rules, name="rules")
cli.add_typer(destinations, name="destinations")

TERMINAL = "terminal"
"""Who answers an alert on the command line."""

AlertNumber = Annotated[int, typer.Argument(help="Number of the alert.", min=1)]
RuleName = Annotated[str, typer.Argument(help="Name of the rule.")]


class StateChoice(StrEnum):
    """The values of `--state` of alerts."""

    open = "open"
    acknowledged = "acknowledged"
    false_alarm = "false_alarm"
    dismissed = "dismissed"


class DeliveryChoice(StrEnum):
    """The values of `--state` of deliveries."""

    queued = "queued"
    sending = "sending"
    delivered = "delivered"
    dead = "dead"


@cli.command("list")
def list_alerts(
    state: Annotated[
        list[StateChoice] | None,
        typer.Option("--state", help="Only these; repeatable (default: all but dismissed)."),
    ] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Name of a rule.")] = None,
    video: Annotated[str | None, typer.Option("--video", help="ID or name of a video.")] = None,
    top: Annotated[int, typer.Option("--top", min=1, max=200, help="Most to list.")] = 50,
    json: Json = False,
    home: Home = None,
) -> None:
    """List what rules raised, the latest first."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.alerts import list_alerts

    states = tuple(choice.value for choice in state or ())
    with open_library(home) as context:
        document = list_alerts(context, states=states, rule=rule, video=video, limit=top)
    open_screen(json=json).show(document)


@cli.command("show")
def show_alert(
    alert: AlertNumber,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="File to write its still to.", metavar="FILE")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show an alert with its evidence."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.alerts import alert_picture, show_alert
    from engine.files import atomic_write_bytes

    with open_library(home) as context:
        document = show_alert(context, alert)
        if picture is not None:
            atomic_write_bytes(picture, alert_picture(context, alert))
    open_screen(json=json).show(document)


@cli.command("ack")
def acknowledge(alert: AlertNumber, json: Json = False, home: Home = None) -> None:
    """Say that an alert was right; it counts for the precision of its rule."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.alerts import decide_alert

    with open_library(home) as context:
        document = decide_alert(context, alert, "acknowledged", TERMINAL)
    open_screen(json=json).show(document)


@cli.command("false-alarm")
def mark_false(alert: AlertNumber, json: Json = False, home: Home = None) -> None:
    """Say that an alert was false; it counts for the precision of its rule."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.alerts import decide_alert

    with open_library(home) as context:
        document = decide_alert(context, alert, "false_alarm", TERMINAL)
    open_screen(json=json).show(document)


@cli.command("try")
def try_rule(
    rule: RuleName,
    after: After = None,
    before: Before = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Tell what a rule would have raised over recorded footage; nothing is raised or sent."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.alerts import try_alert_rule

    start, end = parse_bound(after), parse_bound(before)
    with open_library(home) as context:
        document = try_alert_rule(context, rule, after=start, before=end)
    open_screen(json=json).show(document)


@cli.command("deliveries")
def list_deliveries(
    state: Annotated[
        list[DeliveryChoice] | None,
        typer.Option("--state", help="Only these, such as dead; repeatable."),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """List what is on its way, what has arrived, and what was given up."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.destinations import list_deliveries

    with open_library(home) as context:
        document = list_deliveries(context, states=tuple(choice.value for choice in state or ()))
    open_screen(json=json).show(document)


@cli.command("retry")
def retry_delivery(
    delivery: Annotated[int, typer.Argument(help="Number of the delivery.", min=1)],
    json: Json = False,
    home: Home = None,
) -> None:
    """Send at once what was given up, or waits for another attempt."""
    from app.services.destinations import retry_delivery
    from app.worker.alerts import deliver_now

    with open_library(home) as context:
        retry_delivery(context, delivery)
        document = deliver_now(context, delivery)
    open_screen(json=json).show(document)


@rules.command("add")
def add_rule(
    name: RuleName,
    thing: Thing = None,
    motion: Motion = False,
    text: Print = None,
    speech: Speech = None,
    phrase: Phrase = None,
    no_motion: NoMotion = None,
    no_picture: NoPicture = None,
    no_recording: NoRecording = None,
    camera: RuleCameras = None,
    video: RuleVideos = None,
    days: Days = None,
    hours: Hours = None,
    zone: ZoneOption = None,
    line: LineOption = None,
    direction: Direction = None,
    sure: Sure = None,
    lasts: Least = None,
    cooldown: Cooldown = None,
    to: SendTo = None,
    off: Annotated[bool, typer.Option("--off", help="Keep it switched off.")] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Add a rule; it looks at what is seen from now on."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.schemas.alerts import CreateAlertRuleRequest
    from app.services.alert_rules import add_rule

    fields = condition_changes(
        object=thing,
        motion=motion,
        text=text,
        speech=speech,
        phrase=phrase,
        no_motion=no_motion,
        no_picture=no_picture,
        no_recording=no_recording,
        camera=camera,
        video=video,
        days=days,
        hours=hours,
        zone=zone,
        line=line,
        direction=direction,
        sure=sure,
        lasts=lasts,
        cooldown=cooldown,
        to=to,
    )
    if "kind" not in fields:
        raise typer.BadParameter("say what to look for: --object, --phrase, --motion and so on")
    condition = build_condition(fields)
    with open_library(home) as context:
        request = requested(CreateAlertRuleRequest, name=name, condition=condition, enabled=not off)
        document = add_rule(context, request)
    open_screen(json=json).show(document)


@rules.command("set")
def change_rule(
    name: RuleName,
    new_name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    thing: Thing = None,
    motion: Motion = False,
    text: Print = None,
    speech: Speech = None,
    phrase: Phrase = None,
    no_motion: NoMotion = None,
    no_picture: NoPicture = None,
    no_recording: NoRecording = None,
    camera: RuleCameras = None,
    video: RuleVideos = None,
    days: Days = None,
    hours: Hours = None,
    zone: ZoneOption = None,
    line: LineOption = None,
    direction: Direction = None,
    sure: Sure = None,
    lasts: Least = None,
    cooldown: Cooldown = None,
    to: SendTo = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Switch it on or off.")] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Change a rule, or switch it on or off; what it raised stays."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.schemas.alerts import UpdateAlertRuleRequest
    from app.services.alert_rules import change_rule, show_rule

    fields = condition_changes(
        object=thing,
        motion=motion,
        text=text,
        speech=speech,
        phrase=phrase,
        no_motion=no_motion,
        no_picture=no_picture,
        no_recording=no_recording,
        camera=camera,
        video=video,
        days=days,
        hours=hours,
        zone=zone,
        line=line,
        direction=direction,
        sure=sure,
        lasts=lasts,
        cooldown=cooldown,
        to=to,
    )
    if not fields and new_name is None and on is None:
        raise typer.BadParameter("give what to change")
    with open_library(home) as context:
        condition = None
        if fields:
            kept = show_rule(context, name).condition.model_dump()
            condition = build_condition({**kept, **fields})
        request = requested(UpdateAlertRuleRequest, name=new_name, condition=condition, enabled=on)
        document = change_rule(context, name, request)
    open_screen(json=json).show(document)


@rules.command("list")
def list_rules(json: Json = False, home: Home = None) -> None:
    """List every rule with how often it was right."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.alert_rules import list_rules

    with open_library(home) as context:
        document = list_rules(context)
    open_screen(json=json).show(document)


@rules.command("show")
def show_rule(name: RuleName, json: Json = False, home: Home = None) -> None:
    """Show one rule."""
    import app.cli.render_alerts  # noqa: F401 - registers the tables
    from app.services.alert_rules import show_rule

    with open_library(home) as context:
        document = show_rule(context, name)
    open_screen(json=json).show(document)


@rules.command("rm")
def remove_rule(name: RuleName, json: Json = False, home: Home = None) -> None:
    """Delete a rule; what it raised stays listed."""
    from app.services.alert_rules import remove_rule

    with open_library(home) as context:
        document = remove_rule(context, name)
    open_screen(json=json).show(document)
