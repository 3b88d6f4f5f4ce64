"""Alerts at real receivers: signed, repeated with a mark, given up in the open, never leaked."""

import base64
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from app.schemas.alerts import AlertCondition, CreateAlertRuleRequest
from app.schemas.destinations import CreateDestinationRequest
from app.services.alert_rules import add_rule
from app.services.context import ServiceContext
from app.services.delivery.outbox import (
    FIRST_PAUSE_S,
    MAX_ATTEMPTS,
    deliver_due,
    pause_before_next,
    send_test,
)
from app.services.destinations import (
    add_destination,
    list_deliveries,
    list_destinations,
    remove_destination,
    retry_delivery,
)
from app.worker.alerts import alerts_running
from engine.errors import InputRefusedError, NotFoundError, UnreachableError
from engine.records import VideoId
from storage.alert_records import AlertRuleRow, AlertWatchRow, NewAlert
from storage.catalog import Catalog
from tests.app.services.conftest import open_library
from tests.support.kills import count_changes, run_killed
from tests.support.mqtt_broker import Broker, open_broker
from tests.support.observations import track
from tests.support.receivers import (
    MailReceiver,
    WebReceiver,
    open_dripping_receiver,
    open_mail_receiver,
    open_web_receiver,
)
from tests.support.watched import add_video

APPRISE = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""A module that Apprise looks for, and Python warns of until it is gone."""
SOON_S = 60
"""Longest wait for what is promised; a machine may be busy."""
JPEG = b"\xff\xd8 a still \xff\xd9"


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with open_web_receiver() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    with open_mail_receiver() as receiver:
        yield receiver


@pytest.fixture
def broker() -> Iterator[Broker]:
    with open_broker() as opened:
        yield opened


def send_to(context: ServiceContext, address: str, kind: str = "webhook", **more: object) -> str:
    """Add a destination, and a rule that sends there; return what signs it."""
    fields = {"name": "phone", "kind": kind, "address": address, **more}
    item = add_destination(context, CreateDestinationRequest.model_validate(fields))
    condition = AlertCondition(kind="object", words="a person", destinations=[str(fields["name"])])
    add_rule(context, CreateAlertRuleRequest(name="door", condition=condition))
    return item.signing_secret or ""


def raise_alerts(context: ServiceContext, n_alerts: int = 1, video: VideoId | None = None) -> None:
    """Raise alerts as rules do, with a picture."""
    rule, catalog = context.catalog.alert_rules.find("door"), context.catalog
    video = video or add_video(context, "gate").id
    alerts = [new_alert(video, 10.0 * place) for place in range(n_alerts)]
    watch = catalog.alert_rules.watch(rule.id, video) or AlertWatchRow(until_s=0.0, state={})
    advance(catalog, rule, video, watch, alerts)


def advance(
    catalog: Catalog,
    rule: AlertRuleRow,
    video: VideoId,
    watch: AlertWatchRow,
    alerts: list[NewAlert],
) -> None:
    places = [row.id for row in catalog.destinations.list()]
    after = AlertWatchRow(until_s=watch.until_s + 1000, state={})
    assert catalog.alerts.advance(rule, video, watch, after, alerts, destinations=places)


def new_alert(video: VideoId, start_s: float) -> NewAlert:
    row = track("person", start_s, start_s + 4, video=video)
    return NewAlert(
        video=video,
        span=row.span,
        peak_s=row.peak_s,
        at=None,
        score=0.8,
        reason="person, seen 80% sure",
        judged_by="observations",
        evidence=(row,),
        picture=JPEG,
    )


def test_webhook_is_signed_over_its_body_and_its_time(
    context: ServiceContext, web: WebReceiver
) -> None:
    secret = send_to(context, web.address)
    raise_alerts(context)
    assert deliver_due(context, "test") == 1
    (post,) = web.posts
    headers = {name.lower(): value for name, value in post.headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + post.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert headers["idempotency-key"] == headers["webhook-id"] == post.document["id"]
    assert post.path == "/hook/secret-path"
    assert post.document["type"] == "alert.raised"
    assert post.document["redelivery"] is False
    assert post.document["data"]["rule"] == "door"
    assert post.document["data"]["evidence"][0]["label"] == "person"
    assert base64.b64decode(post.document["picture_jpeg_base64"]) == JPEG
    assert list_deliveries(context).deliveries[0].state == "delivered"
    assert deliver_due(context, "test") == 0


def test_receiver_of_the_docs_believes_what_was_sent_and_nothing_else(
    context: ServiceContext, web: WebReceiver
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(block, names)
    secret = send_to(context, web.address)
    raise_alerts(context)
    deliver_due(context, "test")
    (post,) = web.posts
    headers = {name.lower(): value for name, value in post.headers.items()}
    believes = names["is_from_longwatch"]
    assert believes(secret, headers, post.body)
    assert not believes(secret, headers, post.body + b" ")
    assert not believes(secret, {**headers, "webhook-timestamp": "1700000000"}, post.body)


def test_rule_of_the_docs_is_one(context: ServiceContext) -> None:
    page = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    rule = add_rule(context, CreateAlertRuleRequest.model_validate_json(block))
    assert rule.in_words == (
        "a person in its zone everywhere at 22:00-06:00 local time at most every 5 min"
    )


def test_receiver_that_fails_is_tried_again_under_the_same_key(
    context: ServiceContext, web: WebReceiver
) -> None:
    web.statuses += [429, 503, 0]
    send_to(context, web.address)
    raise_alerts(context)
    (waiting,) = list_deliveries(context).deliveries
    for _ in range(4):
        assert deliver_due(context, "test") == 1
        retry_delivery(context, waiting.delivery_id)
    ids = [post.document["id"] for post in web.posts]
    assert len(set(ids)) == 1
    # Whoever refuses has not got it; who fails, or hangs up, may have.
    assert [post.document["redelivery"] for post in web.posts] == [False, False, True, True]
    (delivery,) = list_deliveries(context).deliveries
    assert (delivery.state, delivery.error) == ("delivered", None)


def test_delivery_is_given_up_in_the_open_and_can_be_sent_again(
    context: ServiceContext, web: WebReceiver
) -> None:
    web.statuses.append(410)
    send_to(context, web.address)
    raise_alerts(context)
    deliver_due(context, "test")
    (dead,) = list_deliveries(context, states=("dead",)).deliveries
    assert dead.error is not None
    assert "status 410" in dead.error
    assert list_destinations(context).destinations[0].dead == 1
    retry_delivery(context, dead.delivery_id)
    deliver_due(context, "test")
    assert len(web.posts) == 2
    assert list_deliveries(context, states=("dead",)).deliveries == []


def test_redirect_is_not_followed(context: ServiceContext, web: WebReceiver) -> None:
    web.statuses.append(302)
    web.headers["Location"] = web.address
    send_to(context, web.address)
    raise_alerts(context)
    deliver_due(context, "test")
    assert len(web.posts) == 1
    assert list_deliveries(context).deliveries[0].state == "dead"


@pytest.mark.parametrize(
    ("scheme", "begins", "more"),
    [
        ("http", b"HTTP/1.1 200 OK\r\nX-Slow: ", {}),
        ("smtp", b"220", {"kind": "email", "sender": "cam@example.org", "to": ["me@b.org"]}),
    ],
)
def test_receiver_that_answers_a_byte_at_a_time_holds_nobody_up(
    context: ServiceContext,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    begins: bytes,
    more: dict[str, Any],
) -> None:
    monkeypatch.setattr("app.services.delivery.dial.LONGEST_S", 0.5)
    with open_dripping_receiver(begins) as host:
        send_to(context, f"{scheme}://{host}", **more)
        raise_alerts(context)
        assert deliver_due(context, "test") == 1
    (delivery,) = list_deliveries(context).deliveries
    assert delivery.error is not None
    assert "it does not answer" in delivery.error
    assert (delivery.state, delivery.may_repeat) == ("queued", True)


def test_receiver_that_is_not_there_is_waited_for(context: ServiceContext) -> None:
    with open_web_receiver() as gone:
        address = gone.address
    send_to(context, address)
    raise_alerts(context)
    deliver_due(context, "test")
    (delivery,) = list_deliveries(context).deliveries
    assert (delivery.state, delivery.may_repeat) == ("queued", False)
    assert "secret-path" not in (delivery.error or "")


def test_pauses_grow_and_end() -> None:
    pauses = [pause_before_next(attempts) or 0.0 for attempts in range(1, MAX_ATTEMPTS)]
    assert FIRST_PAUSE_S <= pauses[0] <= 1.2 * FIRST_PAUSE_S
    assert max(pauses) <= 1.2 * 3600
    assert all(later >= 2 * first for first, later in pairwise(pauses[:4]))
    assert pause_before_next(MAX_ATTEMPTS) is None
    assert (pause_before_next(1, wait_s=100) or 0) >= 100


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/",
        "http://0.0.0.0:80/",
        "http://[::ffff:169.254.169.254]/",
    ],
)
def test_address_where_clouds_keep_secrets_gets_nothing(
    context: ServiceContext, address: str
) -> None:
    send_to(context, address)
    raise_alerts(context)
    deliver_due(context, "test")
    assert "is not opened" in (list_deliveries(context).deliveries[0].error or "")


def test_mqtt_has_a_device_and_topics_for_each_camera(
    context: ServiceContext, broker: Broker
) -> None:
    send_to(context, f"mqtt://127.0.0.1:{broker.port}", "mqtt")
    gate, yard = add_video(context, "gate").id, add_video(context, "yard").id
    raise_alerts(context, video=gate)
    raise_alerts(context, video=yard)
    assert deliver_due(context, "test") == 2
    assert all(row.state == "delivered" for row in list_deliveries(context).deliveries)
    kept = broker.retained
    alert = json.loads(kept[f"longwatch/{gate}/alert"])
    assert (alert["data"]["video"], alert["redelivery"]) == ("gate", False)
    assert kept[f"longwatch/{gate}/picture"] == JPEG
    sensor = json.loads(kept[f"homeassistant/sensor/longwatch_{gate}/last_event/config"])
    assert sensor["state_topic"] == f"longwatch/{gate}/alert"
    assert sensor["device"]["name"] == "gate"
    image = json.loads(kept[f"homeassistant/image/longwatch_{gate}/picture/config"])
    assert image["image_topic"] == f"longwatch/{gate}/picture"
    # A topic of the one camera holds nothing of the other.
    for topic, payload in broker.published:
        other = yard if gate in topic else gate
        assert other.encode() not in payload
        assert (gate in topic) != (yard in topic)


def test_mqtt_test_leaves_nothing_behind(context: ServiceContext, broker: Broker) -> None:
    send_to(context, f"mqtt://127.0.0.1:{broker.port}", "mqtt")
    send_test(context, "phone")
    assert [topic for topic, _ in broker.published] == ["longwatch/test/alert"]
    assert broker.retained == {}


def test_mqtt_signs_in_and_says_when_it_may_not(context: ServiceContext) -> None:
    with open_broker(sign_in=("cam", "pa:ss")) as broker:
        send_to(context, f"mqtt://cam:pa%3Ass@127.0.0.1:{broker.port}", "mqtt", discovery="")
        raise_alerts(context)
        deliver_due(context, "test")
        assert len(broker.published) == 2
        broker.sign_in = ("cam", "other")
        with pytest.raises(UnreachableError, match=r"(?i)not authori[sz]ed"):
            send_test(context, "phone")


def test_mail_arrives_with_its_picture(context: ServiceContext, mail: MailReceiver) -> None:
    send_to(context, mail.address, "email", to=["ada@example.org"], sender="cam@example.org")
    raise_alerts(context)
    deliver_due(context, "test")
    (sent,) = mail.mails
    assert (sent["To"], sent["Subject"]) == ("ada@example.org", "door: gate")
    body, picture = sent.get_payload()  # type: ignore[misc]
    assert "person, seen 80% sure" in body.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert picture.get_payload(decode=True) == JPEG  # type: ignore[union-attr]
    assert sent["Message-ID"].startswith("<msg_")


@APPRISE
def test_apprise_sends_by_any_of_its_services(context: ServiceContext, web: WebReceiver) -> None:
    pytest.importorskip("apprise")
    send_to(context, web.address.replace("http://", "json://"), "apprise")
    raise_alerts(context)
    deliver_due(context, "test")
    (post,) = web.posts
    assert post.document["title"] == "door: gate"
    assert list_destinations(context).destinations[0].address == "json://***"


@APPRISE
def test_apprise_address_where_clouds_keep_secrets_gets_nothing(context: ServiceContext) -> None:
    pytest.importorskip("apprise")
    send_to(context, "json://169.254.169.254/latest", "apprise")
    raise_alerts(context)
    deliver_due(context, "test")
    assert "is not opened" in (list_deliveries(context).deliveries[0].error or "")


def test_test_message_says_that_it_is_one(context: ServiceContext, web: WebReceiver) -> None:
    send_to(context, web.address)
    assert "has taken a test message" in send_test(context, "phone").message
    assert web.posts[0].document["type"] == "alert.test"
    web.statuses.append(404)
    with pytest.raises(UnreachableError, match="status 404"):
        send_test(context, "phone")


def test_user_gets_what_they_may_see_now(context: ServiceContext, web: WebReceiver) -> None:
    accounts = context.catalog.accounts
    vera = accounts.add_user("vera", "viewer", password_hash="x")
    send_to(context, web.address, user="vera")
    gate, yard = add_video(context, "gate").id, add_video(context, "yard").id
    accounts.grant(vera.id, gate)
    raise_alerts(context, video=gate)
    raise_alerts(context, video=yard)
    deliver_due(context, "test")
    assert [post.document["data"]["video"] for post in web.posts] == ["gate"]
    dead = list_deliveries(context, states=("dead",)).deliveries
    assert ["may not see" in (row.error or "") for row in dead] == [True]


def test_secrets_are_in_their_file_and_nowhere_else(
    context: ServiceContext, web: WebReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    web.statuses += [500, 410]
    secret = send_to(context, web.address)
    raise_alerts(context)
    deliver_due(context, "test")
    documents = (list_destinations(context), list_deliveries(context))
    shown = "".join(document.model_dump_json() for document in documents)
    home = context.settings.home
    files = [path for path in home.rglob("*") if path.is_file()]
    keepers = [path for path in files if secret.encode() in path.read_bytes()]
    assert [path.parent.name for path in keepers] == ["secrets"]
    assert keepers[0].stat().st_mode & 0o077 == 0
    for text in (shown, caplog.text):
        assert secret not in text
    assert "secret-path" not in shown
    assert not any(b"secret-path" in path.read_bytes() for path in files if path not in keepers)
    with pytest.raises(InputRefusedError, match="door sends alerts to phone"):
        remove_destination(context, "phone")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "webhook", "address": "ftp://example.org/x"}, "is no address of a webhook"),
        ({"kind": "webhook", "address": "https://a:b@example.org/x"}, "holds no password"),
        ({"kind": "mqtt", "address": "mqtt://"}, "is no address of a mqtt"),
        ({"kind": "email", "address": "smtp://localhost"}, "needs a sender"),
        (
            {"kind": "email", "address": "smtp://localhost", "to": ["x"], "sender": "a@b"},
            "'x' is no mailbox",
        ),
        ({"kind": "apprise", "address": "telegram"}, "no address of Apprise"),
    ],
)
def test_address_that_cannot_be_one_is_refused(
    context: ServiceContext, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(InputRefusedError, match=message):
        add_destination(
            context, CreateDestinationRequest.model_validate({"name": "phone", **fields})
        )


def test_destination_without_its_secret_says_so(context: ServiceContext, web: WebReceiver) -> None:
    send_to(context, web.address)
    for path in (context.settings.home / "secrets").iterdir():
        path.unlink()
    with pytest.raises(NotFoundError, match="the address of phone is not here"):
        send_test(context, "phone")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.scale)])
def sender_and_raiser(
    request: pytest.FixtureRequest, tmp_path: Path, checkpoint: Path
) -> Iterator[tuple[ServiceContext, ServiceContext]]:
    """What delivers alerts and what raises them: one process, or two that share a server."""
    if request.param == "sqlite":
        context = request.getfixturevalue("context")
        yield context, context
        return
    url = request.getfixturevalue("postgres_library")
    first = open_library(tmp_path / "home", checkpoint, database_url=url)
    second = open_library(tmp_path / "home", checkpoint, database_url=url)
    yield first, second
    first.close()
    second.close()


def test_senders_are_woken_by_an_alert_and_wait_for_the_time_of_a_repeat(
    sender_and_raiser: tuple[ServiceContext, ServiceContext], web: WebReceiver
) -> None:
    sender, raiser = sender_and_raiser
    send_to(raiser, web.address)
    web.statuses.append(503)
    with alerts_running(sender, look_every_s=10 * SOON_S):
        # Their first look finds nothing.
        if sender.catalog.is_shared:
            assert sender.catalog.notifications.wait_until_live(SOON_S)
        time.sleep(0.5)
        raise_alerts(raiser)
        await_posts(web, 1)
        await_posts(web, 2)
        assert {row.state for row in raiser.catalog.deliveries.list()} <= {"sending", "delivered"}


def await_posts(web: WebReceiver, n_posts: int) -> None:
    end_s = time.monotonic() + SOON_S
    while len(web.posts) < n_posts:
        assert time.monotonic() < end_s, "nobody was woken"
        time.sleep(0.05)


def test_killed_in_mid_delivery_nothing_is_lost_or_sent_twice_without_a_mark(
    tmp_path: Path, checkpoint: Path, web: WebReceiver
) -> None:
    """A child delivers two alerts, and is killed before each change of the database in turn."""
    n_changes = None
    for n_kills in range(100):
        home = tmp_path / str(n_kills)
        context = open_library(home, checkpoint)
        send_to(context, web.address)
        raise_alerts(context, 2)
        keys = {row.key for row in context.catalog.deliveries.list()}
        context.close()

        def deliver(home: Path = home) -> None:
            child = open_library(home, checkpoint)
            deliver_due(child, "child")
            child.close()

        if n_changes is None:
            n_changes = count_changes(home, deliver)
            web.posts.clear()
            assert n_changes > 4
            continue
        if n_kills > n_changes:
            break
        run_killed(home, deliver, n_kills - 1)
        after = open_library(home, checkpoint)
        after.catalog.deliveries.abandon(lambda lease: (lease or "").startswith("child"))
        deliver_due(after, "after")
        assert {row.state for row in after.catalog.deliveries.list()} == {"delivered"}
        after.close()
        for key in keys:
            documents = [post.document for post in web.posts]
            marks = [sent["redelivery"] for sent in documents if sent["id"] == key]
            assert marks, "an alert is lost"
            assert all(marks[1:]), "an alert was sent twice without a mark"
        web.posts.clear()
