"""The form adapter: a regulator's API described by configuration alone (docs/regulators.md).

`options` is what can be configured, `nodes` and `mapping` the fields, `request`, `signing` and `token` a call and its
authentication, `answers` the meaning of what comes back, `adapter` the whole.
"""

from __future__ import annotations

from alerts.adapters.base import Adapter, options_of
from alerts.adapters.form.adapter import FormAdapter
from alerts.adapters.form.options import BasicAuth, Call, HeaderAuth, NoAuth, OAuth2Auth, Options, SignatureAuth
from alerts.adapters.form.templates import NAMES, names_in
from core.clock import Clock
from core.errors import ConfigurationError
from core.evidence import EvidenceStore
from core.settings import TargetSettings


def create(target: TargetSettings, *, evidence: EvidenceStore, clock: Clock) -> Adapter:
    """The adapter of a target; raise ConfigurationError naming the option that is missing or wrong."""
    options = options_of(target, Options)
    _check_names(target, options)
    return FormAdapter(target, options, evidence=evidence, clock=clock)


def _check_names(target: TargetSettings, options: Options) -> None:
    """Raise ConfigurationError where a template names what there is not, or a secret is missing."""
    auth = options.auth
    templates: dict[str, str] = {}
    if isinstance(auth, SignatureAuth):
        templates["auth.text"] = auth.text
        templates |= {f"auth.params.{name}": value for name, value in auth.params.items()}
    elif isinstance(auth, HeaderAuth):
        templates["auth.value"] = auth.value
    calls: list[tuple[str, Call]] = [(f"messages.{place}", message) for place, message in enumerate(options.messages)]
    if options.result is not None:
        calls.append(("result", options.result))
    for where, call in calls:
        templates[f"{where}.path"] = call.path
        templates |= {f"{where}.params.{name}": value for name, value in call.params.items()}
    named = {name for template in templates.values() for name in names_in(template)}
    known = NAMES | {f"secrets.{name}" for name in target.secrets} | {"client_id"}
    for where, template in templates.items():
        own = set(auth.params) if isinstance(auth, SignatureAuth) and where == "auth.text" else set()
        unknown = sorted(names_in(template) - known - own)
        if unknown:
            raise ConfigurationError(
                f"target {target.name}: options.{where} names {{{unknown[0]}}}, which there is not",
                hint=f"one of {', '.join(sorted(known))}; further secrets stand in the target's `secrets`",
            )
    for name, given, needed in (
        ("client_id", target.client_id, isinstance(auth, BasicAuth | OAuth2Auth) or "client_id" in named),
        (
            "secret",
            target.secret.get_secret_value(),
            isinstance(auth, BasicAuth | OAuth2Auth)
            or "secret" in named
            or (isinstance(auth, SignatureAuth) and auth.digest.startswith("hmac-")),
        ),
    ):
        if needed and not given:
            raise ConfigurationError(f"target {target.name} has no {name}", hint="the regulator gives it out")
    if isinstance(auth, NoAuth) and target.secret.get_secret_value():
        raise ConfigurationError(
            f"target {target.name} has a secret, and options.auth uses none", hint="say how it is used in options.auth"
        )


def amends(target: TargetSettings) -> bool:
    """Where the options say so. They are not checked here: `create` has refused those that are not usable."""
    return target.options.get("amendments") is True
