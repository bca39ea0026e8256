"""Whether a document may be completed at all: the user's rules, and files that are nobody's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from lacuna_server.core.languages import is_among, names_of
from lacuna_server.core.lexing import lexer_for
from lacuna_server.core.reasons import Withheld
from lacuna_server.core.snapshot import Snapshot

SECRETS = (
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.p8", "*.der", "*.crt", "*.cer", "*.csr",
    "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.gpg", "*.asc", "*.age", "*.ovpn", "*.keychain", "id_rsa*", "id_dsa*",
    "id_ecdsa*", "id_ed25519*", "authorized_keys", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc", ".pypirc",
    ".htpasswd", ".git-credentials", ".vault-token", ".dockercfg", ".docker/config.json", "kubeconfig", ".kube/config",
    "credentials", "credentials.*", "secret.*", "secrets.*", "*.secret", "*.secrets", "service-account*.json",
    "*.tfstate", "*.tfstate.*", "*.tfvars", ".aws/*", ".ssh/*", ".gnupg/*",
)  # fmt: skip
"""Patterns of file names that are never shown to a model; no setting changes that."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The user's rules. `languages` may hold `*` for all that are not named; `exclude` holds patterns of names.

    `model_languages` are those that the model completes, empty for all; `languages` has the last word.
    """

    automatic: bool = True
    off: bool = False
    snoozed: bool = False
    languages: Mapping[str, bool] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    max_characters: int = 2**20
    in_comments: bool = True
    in_strings: bool = True
    model_languages: tuple[str, ...] = ()


def refusal(snapshot: Snapshot, rules: Rules, invoked: bool) -> Withheld | None:
    """Why nothing may be suggested, or None. Who asks by hand is answered in manual mode and while snoozed, too."""
    if rules.off:
        return Withheld.OFF
    if not invoked and (rules.snoozed or not rules.automatic):
        return Withheld.SNOOZED if rules.snoozed else Withheld.MANUAL
    if _matches(snapshot.place, SECRETS):
        return Withheld.SECRET
    if (unspoken := language_refusal(snapshot.language, snapshot.place, rules)) is not None:
        return unspoken
    if _matches(snapshot.place, rules.exclude):
        return Withheld.EXCLUDED
    if len(snapshot.text) > rules.max_characters:
        return Withheld.TOO_LARGE
    if invoked or (rules.in_comments and rules.in_strings):
        return None
    return _unwanted_place(snapshot, rules)


def language_refusal(language: str, place: str, rules: Rules) -> Withheld | None:
    """Why nothing may be suggested in this language, which the file's name tells where `language` is empty."""
    names = (language,) if language else sorted(names_of("", place))
    chosen = next((rules.languages[name] for name in names if name in rules.languages), rules.languages.get("*"))
    if chosen is not None:
        return None if chosen else Withheld.LANGUAGE
    return None if is_among(rules.model_languages, language, place) else Withheld.MODEL_LANGUAGE


def may_be_read(place: str, rules: Rules) -> bool:
    """Whether the document at `place` may stand in the prompt of another one."""
    return not (_matches(place, SECRETS) or _matches(place, rules.exclude))


@lru_cache(1024)
def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern fits the file's name, or, with a slash in it, the end of its path. Case does not count.

    A pattern that ends with a slash means everything below. Kept, because every key asks it for every open document.
    """
    path = "/" + path.replace("\\", "/").lower().lstrip("/")
    name = path.rpartition("/")[2]
    for pattern in map(str.lower, patterns):
        whole = "*/" + pattern.removeprefix("**/").lstrip("/") + ("*" if pattern.endswith("/") else "")
        if fnmatchcase(path, whole) if "/" in pattern else fnmatchcase(name, pattern):
            return True
    return False


def _unwanted_place(snapshot: Snapshot, rules: Rules) -> Withheld | None:
    from pygments.token import Token

    kind = _token_at(snapshot)
    if kind in Token.Comment and not rules.in_comments:
        return Withheld.COMMENT
    documentation = kind in Token.Literal.String.Doc
    if kind in Token.Literal.String and not (rules.in_comments if documentation else rules.in_strings):
        return Withheld.COMMENT if documentation else Withheld.STRING
    return None


def _token_at(snapshot: Snapshot) -> Any:
    """Pygments' kind of the token that a letter typed at the cursor would belong to."""
    from pygments.token import Token

    lexer = lexer_for(snapshot.language, snapshot.place)
    for start, kind, value in lexer.get_tokens_unprocessed(f"{snapshot.prefix}x{snapshot.suffix}"):
        if start + len(value) > snapshot.offset:
            return kind
    return Token
