"""Accounts: names, grants, sessions and tokens."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier

import pytest

from engine.errors import InputRefusedError, NotFoundError
from engine.records import VideoId
from storage.catalog import Catalog
from storage.records import UserId
from tests.storage.conftest import Clock


def test_account_comes_out_as_it_went_in(catalog: Catalog) -> None:
    user = catalog.accounts.add_user("ada", "admin", password_hash="$argon2id$secret")
    assert catalog.accounts.user("ada") == user
    assert catalog.accounts.users() == (user,)
    assert "argon2" not in repr(user)


def test_name_is_taken_once(catalog: Catalog) -> None:
    catalog.accounts.add_user("ada", "admin")
    with pytest.raises(InputRefusedError, match="user 'Ada' already"):
        catalog.accounts.add_user("Ada", "viewer")
    assert catalog.accounts.user("ADA") is not None
    assert catalog.accounts.user("bob") is None


def test_viewer_sees_what_was_granted(catalog: Catalog) -> None:
    viewer = catalog.accounts.add_user("bob", "viewer").id
    lobby, gate = (catalog.videos.add(name=name, uri="x").id for name in ("lobby", "gate"))
    for video in (lobby, lobby, gate):
        catalog.accounts.grant(viewer, video)
    assert catalog.accounts.granted(viewer) == {lobby, gate}
    catalog.accounts.revoke(viewer, gate)
    catalog.videos.remove(lobby)
    assert catalog.accounts.granted(viewer) == frozenset()


def test_nothing_is_granted_that_is_not_there(catalog: Catalog) -> None:
    viewer = catalog.accounts.add_user("bob", "viewer").id
    with pytest.raises(NotFoundError, match="does not exist, or was removed"):
        catalog.accounts.grant(viewer, VideoId("gone"))


def test_session_lasts_until_it_ends(catalog: Catalog, clock: Clock) -> None:
    user = catalog.accounts.add_user("ada", "admin")
    opened = catalog.accounts.open_session(
        user.id, "hash", csrf="c", expires_at=clock.time + timedelta(hours=1)
    )
    assert opened.user == user
    assert catalog.accounts.session("hash") == opened
    assert catalog.accounts.session("other") is None
    clock.advance(3600)
    assert catalog.accounts.session("hash") is None


def test_signing_out_ends_a_session(catalog: Catalog, clock: Clock) -> None:
    user = catalog.accounts.add_user("ada", "admin")
    soon = clock.time + timedelta(hours=1)
    catalog.accounts.open_session(user.id, "hash", csrf="c", expires_at=soon)
    catalog.accounts.close_session("hash")
    assert catalog.accounts.session("hash") is None


def test_new_password_signs_everyone_out(catalog: Catalog, clock: Clock) -> None:
    user = catalog.accounts.add_user("ada", "admin")
    soon = clock.time + timedelta(hours=1)
    catalog.accounts.open_session(user.id, "hash", csrf="c", expires_at=soon)
    assert catalog.accounts.set_password(user.id, "new").password_hash == "new"
    assert catalog.accounts.session("hash") is None


def test_new_password_ends_links_and_where_wanted_tokens(catalog: Catalog, clock: Clock) -> None:
    user = catalog.accounts.add_user("ada", "admin")
    catalog.accounts.open_session(
        user.id, "mine", csrf="c", expires_at=clock.time + timedelta(hours=1)
    )
    catalog.accounts.add_token(user.id, "first start", "link", kind="sign_in")
    catalog.accounts.add_token(user.id, "script", "token")
    catalog.accounts.set_password(user.id, "new", keep_session="mine")
    assert catalog.accounts.session("mine") is not None
    assert catalog.accounts.use_token("link", "sign_in") is None
    assert catalog.accounts.use_token("token", "api") is not None
    catalog.accounts.set_password(user.id, "newer", ends_tokens=True)
    assert catalog.accounts.use_token("token", "api") is None


def test_token_of_the_api_works_until_it_expires(catalog: Catalog, clock: Clock) -> None:
    user = catalog.accounts.add_user("ada", "viewer")
    expires_at = clock.time + timedelta(days=1)
    catalog.accounts.add_token(user.id, "script", "h", scopes=["ask"], expires_at=expires_at)
    for _ in range(2):
        used = catalog.accounts.use_token("h", "api")
        assert used is not None
        assert (used[0], used[1].scopes, used[1].used_at) == (user, ("ask",), clock.time)
    clock.advance(24 * 3600)
    assert catalog.accounts.use_token("h", "api") is None


def test_token_for_signing_in_works_once(catalog: Catalog) -> None:
    user = catalog.accounts.add_user("ada", "admin")
    catalog.accounts.add_token(user.id, "first start", "h", kind="sign_in")
    assert catalog.accounts.use_token("h", "sign_in") is not None
    assert catalog.accounts.use_token("h", "sign_in") is None


def test_token_for_signing_in_is_no_token_of_the_api(catalog: Catalog) -> None:
    user = catalog.accounts.add_user("ada", "admin")
    catalog.accounts.add_token(user.id, "first start", "h", kind="sign_in")
    assert catalog.accounts.use_token("h", "api") is None
    assert catalog.accounts.use_token("h", "sign_in") is not None
    assert catalog.accounts.use_token("h", "api") is None


def test_token_of_the_api_does_not_sign_in(catalog: Catalog) -> None:
    user = catalog.accounts.add_user("ada", "admin")
    catalog.accounts.add_token(user.id, "script", "h", kind="api")
    assert catalog.accounts.use_token("h", "sign_in") is None
    used = catalog.accounts.use_token("h", "api")
    assert used is not None


def test_nobody_removes_the_token_of_another(catalog: Catalog) -> None:
    ada, bob = (catalog.accounts.add_user(name, "viewer").id for name in ("ada", "bob"))
    token = catalog.accounts.add_token(ada, "script", "h")
    with pytest.raises(NotFoundError):
        catalog.accounts.remove_token(bob, token.id)
    assert catalog.accounts.tokens(ada) == (token,)
    catalog.accounts.remove_token(ada, token.id)
    assert catalog.accounts.use_token("h", "api") is None


def test_everything_leaves_with_its_account(catalog: Catalog, clock: Clock) -> None:
    user = catalog.accounts.add_user("ada", "viewer").id
    soon = clock.time + timedelta(hours=1)
    catalog.accounts.open_session(user, "hash", csrf="c", expires_at=soon)
    catalog.accounts.add_token(user, "script", "h")
    catalog.conversations.add("gate", user=user)
    catalog.accounts.remove_user(user)
    assert catalog.accounts.session("hash") is None
    assert catalog.accounts.use_token("h", "api") is None
    assert catalog.conversations.list(user) == ()
    with pytest.raises(NotFoundError):
        catalog.accounts.set_role(user, "viewer")


def test_role_can_change(catalog: Catalog) -> None:
    user = catalog.accounts.add_user("ada", "viewer").id
    assert catalog.accounts.set_role(user, "admin").role == "admin"
    with pytest.raises(NotFoundError, match="no user 'nobody'"):
        catalog.accounts.set_role(UserId("nobody"), "admin")


def test_two_admins_who_remove_each_other_leave_one(catalog: Catalog) -> None:
    accounts = catalog.accounts

    def demote(user: UserId) -> None:
        accounts.set_role(user, "viewer")

    def is_refused(step_down: Callable[[UserId], None], start: Barrier, user: UserId) -> bool:
        start.wait()
        try:
            step_down(user)
        except InputRefusedError as error:
            return "only admin" in str(error)
        return False

    refused, last_admin = 0, None
    for turn in range(10):
        ids = [accounts.add_user(f"{name}{turn}", "admin").id for name in ("ada", "bea")]
        if last_admin is not None:
            accounts.remove_user(last_admin)
        step_down = demote if turn % 2 else accounts.remove_user
        with ThreadPoolExecutor(2) as pool:
            refused += sum(pool.map(partial(is_refused, step_down, Barrier(2)), ids))
        (last_admin,) = (user.id for user in accounts.users() if user.role == "admin")
    assert refused == 10
