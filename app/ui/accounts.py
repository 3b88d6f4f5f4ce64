"""Accounts on the settings page: people, one's own password, tokens for programs."""

from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.cameras import list_cameras
from app.api.deps import AppContext
from app.api.users import (
    change_own_password,
    create_token,
    create_user,
    delete_user,
    list_tokens,
    list_users,
    revoke_token,
    update_user,
)
from app.schemas.users import (
    ChangePasswordRequest,
    CreateTokenRequest,
    CreateUserRequest,
    TokenItem,
    UpdateUserRequest,
    UserItem,
)
from app.ui.caller import EVENT, PASSIVE, as_sentences, checked, require_session
from app.ui.components.table import RowAction, Table, TableData, TableRow
from app.ui.layout import folded, line
from app.ui.markup import asked_first, local_time, part
from app.ui.seen import ActionPanel
from engine.plural import counted

Update = dict[Any, object]
ROLES: Final = ["viewer", "admin"]


class AccountPanels:
    """Panels of accounts, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self) -> None:
        """Draw the panels; what is an admin's alone is shown when they come."""
        with gr.Column(
            visible=False, elem_classes=["lw-card"], elem_id="lw-people"
        ) as self._people:
            _title("People")
            self._users = Table()
            with folded("Add someone"):
                self._name = gr.Textbox(label="Name", elem_id="lw-new-name")
                self._first = _password("Password, 10 characters or more", "lw-new-password")
                self._role = gr.Dropdown(ROLES, value="viewer", label="Role")
                self._add = gr.Button("Add", elem_id="lw-add-user")
            with gr.Column(visible=False, elem_id="lw-change-user") as self._change:
                self._changed = gr.Textbox(label="Change", interactive=False)
                self._new_role = gr.Dropdown(ROLES, label="Role")
                self._reset = _password("New password (empty: as it is)", "lw-reset-password")
                self._videos = gr.Dropdown(
                    [], label="May see", multiselect=True, elem_id="lw-may-see"
                )
                self._cameras = gr.Dropdown(
                    [],
                    label="Cameras, with all that they film",
                    multiselect=True,
                    elem_id="lw-may-see-cameras",
                )
                with line("actions"):
                    self._save_user = gr.Button("Save", variant="primary")
                    self._remove = ActionPanel()
        with gr.Column(elem_classes=["lw-card"], elem_id="lw-password"):
            _title("Your password")
            self._note = gr.HTML(apply_default_css=False)
            with folded("Change it"):
                self._current = _password("Present password, where there is one", "lw-current")
                self._new = _password("New password, 10 characters or more", "lw-new")
                self._ends = gr.Checkbox(label="End my tokens too")
                self._set = gr.Button("Change the password")
        with gr.Column(elem_classes=["lw-card"], elem_id="lw-tokens"):
            _title("Tokens for programs")
            self._tokens = Table()
            self._secret = gr.HTML(apply_default_css=False)
            with folded("New token"):
                self._purpose = gr.Textbox(label="What is it for", max_length=64)
                self._days = gr.Textbox("90", label="Days until it ends")
                self._writes = gr.Checkbox(label="It may change the library, not only look and ask")
                self._make = gr.Button("Make it", elem_id="lw-make-token")

    def wire(self, blocks: gr.Blocks) -> None:
        """Wire the events."""
        people = [self._people, self._users, self._change, self._changed, self._new_role]
        people += [self._videos, self._cameras, self._reset, self._name, self._first, self._remove]
        own = [self._note, self._current, self._new, self._tokens, self._secret, self._purpose]
        blocks.load(self.show, None, [*people, *own], **PASSIVE)
        added = [self._name, self._first, self._role]
        self._add.click(self.add, added, people, **EVENT)
        self._users.act(self.edit, None, people, **EVENT)
        changed = [self._changed, self._new_role, self._reset, self._videos, self._cameras]
        self._save_user.click(self.change, changed, people, **EVENT)
        self._remove.act(self.remove, None, people, **EVENT)
        self._set.click(self.set_password, [self._current, self._new, self._ends], own, **EVENT)
        self._make.click(self.make, [self._purpose, self._days, self._writes], own, **EVENT)
        self._tokens.act(self.revoke, None, own, **EVENT)

    def show(self, request: gr.Request) -> Update:
        """Show the accounts as far as the user may see them."""
        with as_sentences(request):
            principal = require_session(request)
            people = self._show_people(principal) if principal.is_admin else {}
            return {**people, **self._own(principal)}

    def add(self, name: str, password: str, role: str, request: gr.Request) -> Update:
        """Add an account."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            body = checked(CreateUserRequest, name=name, password=password, role=role)
            create_user(self._context, principal, body)
            return {**self._show_people(principal), self._name: "", self._first: ""}

    def edit(self, event: gr.EventData, request: gr.Request) -> Update:
        """Open an account for changes."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            users = list_users(self._context, principal).users
            user = next(user for user in users if user.name == event.key)
            names = [(row.name, str(row.id)) for row in self._context.videos(principal)]
            cameras = list_cameras(self._context, principal).cameras
            places = [(camera.name, camera.camera_id) for camera in cameras]
            is_viewer = user.role != "admin"
            return {
                self._change: gr.update(visible=True),
                self._changed: user.name,
                self._new_role: user.role,
                self._reset: "",
                self._remove: part(_removal(user.name)),
                self._videos: gr.update(choices=names, value=user.videos, visible=is_viewer),
                self._cameras: gr.update(
                    choices=places, value=user.cameras, visible=is_viewer and bool(places)
                ),
            }

    def change(
        self,
        name: str,
        role: str,
        password: str,
        videos: list[str],
        cameras: list[str],
        request: gr.Request,
    ) -> Update:
        """Save the changes of an account."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            fields: dict[str, Any] = {"role": role}
            if password:
                fields["password"] = password
            if role != "admin":
                fields |= {"videos": videos or [], "cameras": cameras or []}
            update_user(self._context, principal, name, checked(UpdateUserRequest, **fields))
            return self._show_people(principal)

    def remove(self, event: gr.EventData, request: gr.Request) -> Update:
        """Remove an account."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            delete_user(self._context, principal, event.key)
            return self._show_people(principal)

    async def set_password(
        self, current: str, new: str, ends_tokens: bool, request: gr.Request
    ) -> Update:
        """Change the user's own password; their other sessions end."""
        with as_sentences(request):
            principal = require_session(request)
            body = checked(
                ChangePasswordRequest, current=current or "", new=new, end_tokens=ends_tokens
            )
            assert request.request is not None, "a page's request"
            await change_own_password(self._context, principal, request.request, body)
            gr.Info("The password is changed; your other sessions have ended.")
            return {self._note: _password_note(True), self._current: "", self._new: ""}

    def make(self, purpose: str, days: str, writes: bool, request: gr.Request) -> Update:
        """Make a token; its secret is shown once."""
        with as_sentences(request):
            principal = require_session(request)
            scopes = ["read", "write"] if writes else ["read"]
            body = checked(CreateTokenRequest, name=purpose, days=days, scopes=scopes)
            token = create_token(self._context, principal, body)
            secret = Markup('<p>Copy it now, it is shown once:</p><p class="secret">{}</p>')
            return {
                **self._own(principal),
                self._secret: part(secret.format(token.secret)),
                self._purpose: "",
            }

    def revoke(self, event: gr.EventData, request: gr.Request) -> Update:
        """End a token."""
        with as_sentences(request):
            principal = require_session(request)
            revoke_token(self._context, principal, int(event.key))
            return {**self._own(principal), self._secret: ""}

    def _show_people(self, principal: Principal) -> Update:
        users = list_users(self._context, principal).users
        return {
            self._people: gr.update(visible=True),
            self._users: _people_table(users),
            self._change: gr.update(visible=False),
        }

    def _own(self, principal: Principal) -> Update:
        tokens = list_tokens(self._context, principal).tokens
        return {
            self._note: _password_note(principal.user.password_hash is not None),
            self._tokens: _token_table(tokens),
        }


def _removal(name: str) -> Markup:
    words = "Its sessions and tokens end, its conversations are deleted."
    question = f"Remove the account of {name}?"
    return asked_first("Remove this account", question, words, action="remove", key=name)


def _title(text: str) -> None:
    gr.HTML(part(Markup("<h2>{}</h2>").format(text)), apply_default_css=False)


def _password(label: str, elem_id: str) -> gr.Textbox:
    return gr.Textbox(label=label, type="password", elem_id=elem_id)


def _password_note(is_set: bool) -> str:
    if is_set:
        return part(Markup('<p class="faint">You sign in with a password.</p>'))
    words = "You have no password: set one, or the next sign-in needs another one-time link."
    return part(Markup('<p class="wrong">{}</p>').format(words))


def _people_table(users: list[UserItem]) -> TableData:
    return TableData(
        title="Accounts",
        columns=("Name", "Role", "May see", "Signs in by"),
        wide_only=frozenset({"Signs in by"}),
        rows=tuple(
            TableRow(
                key=user.name,
                cells=(
                    Markup("<strong>{}</strong>").format(user.name),
                    user.role,
                    _may_see(user),
                    "password" if user.has_password else "one-time link",
                ),
                actions=(RowAction(action="edit", text="Change", label=f"Change {user.name}"),),
            )
            for user in users
        ),
    )


def _may_see(user: UserItem) -> str:
    if user.role == "admin":
        return "everything"
    cameras = [counted(len(user.cameras), "camera")] if user.cameras else []
    return ", ".join([counted(len(user.videos), "video"), *cameras])


def _token_table(tokens: list[TokenItem]) -> TableData:
    return TableData(
        title="Tokens",
        columns=("Token", "Used", "Until"),
        rows=tuple(
            TableRow(
                key=str(token.token_id),
                cells=(
                    token.name,
                    local_time(token.used_at) if token.used_at else "never",
                    local_time(token.expires_at) if token.expires_at else "",
                ),
                actions=(
                    RowAction(
                        action="revoke",
                        text="End",
                        label=f"End {token.name}",
                        asks="Whatever signs in with it is refused from then on.",
                    ),
                ),
            )
            for token in tokens
        ),
        instead=Markup(
            '<p class="faint">None. A token stands for you in scripts: '
            '<span class="mono">Authorization: Bearer …</span></p>'
        ),
    )
