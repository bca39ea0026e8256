"""Why nothing is shown: one code for each reason, and a sentence for people."""

from __future__ import annotations

from enum import StrEnum


class Withheld(StrEnum):
    """A reason code. `sentence` says it to the user."""

    sentence: str

    EMPTY = "empty", "The model had nothing to add."
    REPEATS = "repeats", "The answer only repeated the text that follows the cursor."
    LOOP = "loop", "The model repeated itself until it was stopped."
    INSIDE_WORD = "inside-word", "The cursor stands inside a word."
    LOADING = "loading", "The model is not loaded yet."
    UNAVAILABLE = "unavailable", "The model failed to load, or the request failed."
    CANCELLED = "cancelled", "The request was cancelled, or a newer one took its place."
    OUT_OF_STEP = (
        "out-of-step",
        "Lacuna's copy of the file may differ from the editor's, because a change could not be read: save the file or "
        "open it again.",
    )
    OFF = "off", "Suggestions are switched off (setting `mode`)."
    MANUAL = "manual", "Suggestions come only when you ask for them (setting `mode`)."
    SNOOZED = "snoozed", "Suggestions are snoozed for some minutes."
    LANGUAGE = "language", "Suggestions are switched off for this language (setting `languages`)."
    MODEL_LANGUAGE = "model-language", "The bundled model completes Python only (setting `languages`)."
    EXCLUDED = "excluded", "The file's name is excluded (setting `exclude`)."
    SECRET = "secret", "Files that hold passwords and keys are never shown to the model."
    TOO_LARGE = "too-large", "The file is too large (setting `max_file_kib`)."
    COMMENT = "comment", "The cursor stands in a comment (setting `in_comments`)."
    STRING = "string", "The cursor stands in a string (setting `in_strings`)."

    def __new__(cls, code: str, sentence: str) -> Withheld:
        made = str.__new__(cls, code)
        made._value_ = code
        made.sentence = sentence
        return made
