"""`pcr-audit list`: what is registered, and pictures of every trigger."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from auditor.errors import UsageError

Kind = Annotated[
    Literal["models", "probes", "detectors", "triggers", "payloads", "methods", "fills", "matchers", "formats", "all"],
    typer.Argument(help="What to list."),
]
Preview = Annotated[
    Path | None,
    typer.Option(help="With `triggers`: a new or empty folder for pictures of every family, before and after."),
]


def list_registered(kind: Kind = "all", preview: Preview = None) -> None:
    """What is registered: families of models, probes, detectors, triggers, payloads, repair methods, fills, matchers,
    data formats."""
    if preview is not None and kind != "triggers":
        raise UsageError(
            "--preview shows triggers only", got=f"list {kind} --preview",
            expected="list triggers --preview DIR", todo="name `triggers`",
        )  # fmt: skip
    for name, entries in registered().items():
        if kind in (name, "all"):
            typer.echo(f"{name}\n" + "\n".join(f"  {entry}" for entry in entries))
    if preview is not None:
        from auditor.attacks.preview import write_preview

        typer.echo(f"wrote {write_preview(preview)}", err=True)


def registered() -> dict[str, list[str]]:
    """One line for everything, by what it is."""
    from auditor.checkpoint.families import FAMILIES
    from auditor.data.reading import FORMATS
    from auditor.evaluation.asr import MATCHERS
    from auditor.repair.methods import METHODS
    from probes.baselines import DETECTORS
    from probes.inversion import PROFILES, QUICK
    from probes.views import FILLS

    searched = {"additive": QUICK.additive, "patch": QUICK.patch, "frame": QUICK.frame}
    families = [f"{name} (budgets {', '.join(f'{b:.3g}' for b in budgets)})" for name, budgets in searched.items()]
    return {
        "models": [
            *FAMILIES,
            "llava (also with a Pixtral tower), and any other whose processor turns a picture into one tensor",
        ],
        "probes": [
            f"inversion (target-free, clean pictures only), which searches {', '.join(families)}",
            f"    profiles {', '.join(PROFILES)}: the latter two search words in prompts as well",
            "invariance (input level, needs --suspect)",
        ],
        "detectors": [_about(name, detector) for name, detector in DETECTORS.items()],
        "triggers": _triggers(),
        "payloads": _payloads(),
        "methods": [_about(name, method) for name, method in METHODS.items()],
        "fills": list(FILLS),
        "matchers": list(MATCHERS),
        "formats": [layout.kind for layout in FORMATS],
    }


def _about(name: str, plugin: type) -> str:
    """A name with the first sentence of what it is."""
    return f"{name}: {(plugin.__doc__ or '').splitlines()[0]}"


def _triggers() -> list[str]:
    """Each family with what it is, then its settings with their defaults and what they allow."""
    from probes.triggers.registry import FAMILIES

    lines = []
    for family in FAMILIES.values():
        lines.append(f"{family.name}: {family.about}")
        lines += [
            f"    {name} = {_shown(default)}  ({allows.expected})"
            for name, (allows, default) in family.defaults.items()
        ]
    return lines


def _payloads() -> list[str]:
    from auditor.attacks.payloads import PAYLOADS
    from probes.settings import settings_of

    lines = []
    for payload in PAYLOADS.values():
        settings = {name: getattr(payload, name) for name in settings_of(type(payload))}
        about = (type(payload).__doc__ or "").splitlines()[0]
        lines.append(f"{payload.kind}: {about}")
        lines += [f"    {name} = {_shown(default)}" for name, default in settings.items()]
    return lines


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f'"{value}"' if isinstance(value, str) else str(value)
