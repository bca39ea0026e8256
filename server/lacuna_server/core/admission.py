"""Whether a document may be completed at all: the user's rules, and files that hold secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

from lacuna_server.core.languages import is_among, names_of
from lacuna_server.core.lexing import kind_at_cursor
from lacuna_server.core.paths import normal
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot
from lacuna_server.syntax.places import Kind

_DATA = ("cfg", "conf", "env", "ini", "json", "properties", "toml", "txt", "xml", "yaml", "yml")
SECRETS = {
    "environments": (".env", ".env.*", ".env-*", ".env_*", "*.env", ".envrc", "local.settings.json"),
    "keys and certificates": (
        "*.pem", "*.key", "*.p12", "*.pfx", "*.p8", "*.der", "*.crt", "*.cer", "*.csr", "*.jks", "*.jceks", "*.bcfks",
        "*.keystore", "*.kdb", "*.kdbx", "*.ppk", "*.gpg", "*.asc", "*.age", "*.keychain", "*.keychain-db", "id_rsa*",
        "id_dsa*", "id_ecdsa*", "id_ed25519*", "authorized_keys", ".ssh/*", ".gnupg/*",
    ),
    "passwords": (
        ".netrc*", "_netrc", ".pgpass", "pgpass.conf", ".my.cnf", ".mylogin.cnf", ".htpasswd", "htpasswd",
        "*.htpasswd", "shadow", "gshadow", ".git-credentials", ".vault-token", ".vault_pass*", ".vault-pass*",
        "wp-config.php", "wp-config-*.php", ".s3cfg", ".passwd-s3fs", ".boto", "rclone.conf", ".ftpconfig", "sftp.json",
        "sitemanager.xml", "*.ovpn", "wg[0-9]*.conf", "wireguard/*.conf",
    ),
    "package managers and build tools": (
        ".npmrc", ".yarnrc.yml", ".pypirc", "gradle.properties", ".m2/settings*.xml", "auth.json", ".terraformrc",
        "terraform.rc", "*.tfstate", "*.tfstate.*", "*.tfvars", "*.tfvars.json",
    ),
    "clouds and clusters": (
        ".aws/*", ".azure/*", ".config/gcloud/*", "application_default_credentials.json", "service-account*.json",
        "service_account*.json", "client_secret*.json", ".dockercfg", ".dockerconfigjson", ".docker/config.json",
        "kubeconfig", "*.kubeconfig", ".kube/config", "gh/hosts.yml", "glab-cli/config.yml",
    ),
    "names that say so": (
        "credentials", "credentials.*", "secret", "secret.*", "secrets", "secrets.*", "*.secret", "*.secrets",
        *(f"{name}[-_]*.{kind}" for name in ("credentials", "secret", "secrets") for kind in _DATA),
        *(f"{folder}/*.{kind}" for folder in ("secret", "secrets", ".secrets") for kind in _DATA),
    ),
}  # fmt: skip
"""Patterns of file names that are never shown to a model, by what the files hold. No setting changes that.

Editors and people keep copies of files under longer names. `_COPY` strips the addition before the patterns are tried.
"""
_SECRETS = tuple(pattern for patterns in SECRETS.values() for pattern in patterns)
_COPY = re.compile(
    r"^\.?#+(?=.)|^\._(?=.)|#+$|~\d*~?$|\.sw[a-p]$|[. ]+$"
    r"|[._-](bak|backup|old|orig|original|save|saved|copy|tmp|temp|new|prev|rej|dist|disabled|example|sample|template"
    r"|prod|production|staging|stage|dev|development|test|testing|local|live|qa)\d*$"
    r"|\.\d{1,14}$| copy( \d+)?$| ?\(\d+\)$"
)
"""One addition to the name of a copied file: marks of Emacs and Vim, backups, deployment stages, numbers."""
_SWAPPED = re.compile(r"\.(.+\.sw[a-p])")
"""The hidden swap file that Vim creates for a file that is not hidden."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The user's rules.

    `languages` maps language ids to whether to complete them, `*` being any other language. `exclude` holds file name
    patterns. `model_languages` are the languages that the model completes, empty for all; `languages` overrides it.
    """

    automatic: bool = True
    off: bool = False
    snoozed: bool = False
    languages: Mapping[str, bool] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    max_characters: int = 2**20
    in_comments: bool = True
    in_strings: bool = True
    secrets: bool = False
    """Whether to complete files whose names say that they hold passwords or keys."""
    model_languages: tuple[str, ...] = ()


def refusal(snapshot: Snapshot, rules: Rules, invoked: bool) -> Withheld | None:
    """Why nothing may be suggested, or None. Invoked requests are answered in manual mode and while snoozed, too."""
    if rules.off:
        return Withheld.OFF
    if not invoked and (rules.snoozed or not rules.automatic):
        return Withheld.SNOOZED if rules.snoozed else Withheld.MANUAL
    if not snapshot.in_sync:
        return Withheld.OUT_OF_STEP
    if not rules.secrets and is_secret(snapshot.uri_path):
        return Withheld.SECRET
    if (refused := language_refusal(snapshot.language, snapshot.uri_path, rules)) is not None:
        return refused
    if _matches(snapshot.uri_path, rules.exclude):
        return Withheld.EXCLUDED
    if len(snapshot.text) > rules.max_characters:
        return Withheld.TOO_LARGE
    if invoked or (rules.in_comments and rules.in_strings):
        return None
    return _place_refusal(snapshot, rules)


def language_refusal(language: str, path: str, rules: Rules) -> Withheld | None:
    """Why nothing may be suggested in this language, or None. An empty `language` is derived from the file name."""
    names = (language,) if language else sorted(names_of("", path))
    enabled = next((rules.languages[name] for name in names if name in rules.languages), rules.languages.get("*"))
    if enabled is not None:
        return None if enabled else Withheld.LANGUAGE
    return None if is_among(rules.model_languages, language, path) else Withheld.MODEL_LANGUAGE


def may_be_read(path: str, rules: Rules) -> bool:
    """Whether the document at `path` may be used in the prompt of another one."""
    return not (is_secret(path) or _matches(path, rules.exclude))


@lru_cache(1024)
def is_secret(path: str) -> bool:
    """Whether a file's name says that it holds passwords or keys, or that it is a copy of one that does."""
    folder, _, name = normal(path).lower().rpartition("/")
    swap_file = _SWAPPED.fullmatch(name)
    names = [name] if swap_file is None else [name, swap_file.group(1)]
    return any(_matches(f"{folder}/{original}", _SECRETS) for copy in names for original in _originals(copy))


def _originals(name: str) -> Iterator[str]:
    """`name`, and the names of which it may be a copy, longest first."""
    while name:
        yield name
        name, previous = _COPY.sub("", name, count=1), name
        if name == previous:
            return


@lru_cache(1024)
def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern matches the file's name or, if it has a slash, the end of its path. Case does not matter.

    A pattern that ends with a slash matches everything below. Cached, because every keystroke checks every open
    document.
    """
    path = "/" + normal(path).lower().lstrip("/")
    name = path.rpartition("/")[2]
    for pattern in map(str.lower, patterns):
        path_pattern = "*/" + pattern.removeprefix("**/").lstrip("/") + ("*" if pattern.endswith("/") else "")
        if fnmatchcase(path, path_pattern) if "/" in pattern else fnmatchcase(name, pattern):
            return True
    return False


def _place_refusal(snapshot: Snapshot, rules: Rules) -> Withheld | None:
    """COMMENT or STRING if the cursor is in one and the rules exclude it. Docstrings count as comments."""
    kind = kind_at_cursor(snapshot)
    if kind in (Kind.COMMENT, Kind.DOCSTRING) and not rules.in_comments:
        return Withheld.COMMENT
    return Withheld.STRING if kind is Kind.STRING and not rules.in_strings else None
